"""Make one file larger than all outputs may be, also one that is only holes.

Held by the limit on a file's size, and the file system's.
"""

import os

from kit import refused


def attack(limits):
    size = limits["output_mb"] * 2**20 + 1
    for place in ("/out", "/tmp", "/dev/shm"):
        path = f"{place}/large"
        file = os.open(path, os.O_CREAT | os.O_RDWR)
        yield f"holes in {place}", refused(os.ftruncate, file, size)
        yield f"far write in {place}", refused(os.pwrite, file, b"x", size + 2**40)
        yield f"allocated in {place}", refused(os.posix_fallocate, file, 0, size)
        os.close(file)
        os.unlink(path)
