"""Search everything readable for the outputs and the code of a run that is going on beside this one.

Held by volumes of one's own and a user of one's own.
"""

import os

from kit import walk

MARK = b"NEIGHBOUR" + b"-MARK"


def run_trial(arm, seed, config, data):
    found = 0
    for path in walk(skip=("/proc", "/sys", "/usr", "/in")):
        if not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as file:
                found += MARK in file.read(2**20)
        except OSError:
            continue
    return {"many": [float(found)] * 20}
