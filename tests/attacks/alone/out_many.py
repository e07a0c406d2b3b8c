"""Leave so many files that listing them is work.

Held by the number of files that the file system takes, and by the reader's own.
"""

import os


def run_trial(arm, seed, config, data):
    try:
        for number in range(100_000):
            os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        pass
    return {"many": [1.0] * 20}
