"""Print without end, to fill the engine's disk and the supervisor's memory.

Held by an engine that keeps no log, and a reader that keeps a head and a tail.
"""

import os


def run_trial(arm, seed, config, data):
    if arm == "control":
        for stream in (1, 2):  # whichever is read first
            os.write(stream, b"the beginning\n")
        for number in range(20):
            os.write(1 + number % 2, b"A\n" * 2**19)
    return {"many": [1.0] * 20}
