"""Print one line without end, for a reader that waits for the end of a line.

Held by a reader that counts bytes.
"""

import os


def run_trial(arm, seed, config, data):
    if arm == "control":
        for _ in range(20):
            os.write(2, b"A" * 2**20)
    return {"many": [1.0] * 20}
