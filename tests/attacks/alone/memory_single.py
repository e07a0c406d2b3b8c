"""Take more memory than the limit in one process.

Held by the container's limit, which counts swap too; the engine reports it.
"""


def run_trial(arm, seed, config, data):
    blocks = []
    while True:
        blocks.append(b"x" * 2**24)
