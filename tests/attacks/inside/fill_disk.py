"""Fill every place that can be written, with files of the largest size allowed.

Held by file systems in memory, each with a size of its own.
"""

import os

from kit import at_most


def megabytes_into(place, most):
    written, files = 0, []
    try:
        while written <= most:
            files.append(f"{place}/fill-{len(files)}")
            with open(files[-1], "wb", buffering=0) as file:
                if file.write(bytes(2**20)) < 2**20:
                    break
            written += 1
    except OSError:
        pass
    for path in files:
        if os.path.exists(path):
            os.unlink(path)
    return written


def attack(limits):
    for place, size in (("/out", limits["output_mb"]), ("/tmp", 32), ("/dev/shm", 32)):
        yield place, at_most(megabytes_into(place, size + 4), size)
