"""Open files until no more can be opened.

Held by the limit on open files of each process.
"""

import os

from kit import at_most


def attack(limits):
    opened = []
    try:
        while len(opened) < 5000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for file in opened:
        os.close(file)
    yield "open files", at_most(len(opened), 1024)
