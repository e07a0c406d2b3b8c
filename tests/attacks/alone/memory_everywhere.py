"""Fill every file system in memory, then take what was approved for processes on top.

Held by a container's limit that has room for the file systems, and ends the run beyond it.
"""


def run_trial(arm, seed, config, data):
    for place in ("/out", "/tmp", "/dev/shm"):
        number = 0
        try:
            while True:
                with open(f"{place}/fill{number}", "wb") as file:
                    file.write(bytes(2**20))
                number += 1
        except OSError:
            pass
    blocks = []
    while True:
        blocks.append(b"x" * 2**24)
