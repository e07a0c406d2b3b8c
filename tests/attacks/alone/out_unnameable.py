"""Nest directories so deep that no path names the last, so that the outputs cannot be collected at all.

Held by the limit on files, and by a failure that is no result: the run is not repeated unseen.
"""

import os


def run_trial(arm, seed, config, data):
    try:
        for _ in range(16_000):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
    except OSError:
        pass
    return {"many": [1.0] * 20}
