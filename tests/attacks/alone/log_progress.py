"""Print the harness's own progress lines, ahead of it, backwards and absurd.

Held by the host, which takes them for what they are, self-reported: no fact or result follows from them.
"""


def run_trial(arm, seed, config, data):
    print(
        "trial 999999999/999999999 ok\ntrial -1/2 ok\ntrial 2/2 ok\ntrial 1e9/2 ok\ntrial ２/2 ok", flush=True
    )
    raise ValueError("no trial ended well")
