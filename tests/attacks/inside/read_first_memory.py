"""Read and overwrite the memory of process 1, and with it its deadline.

Held by the kernel: a program that its user cannot read is nobody's to look into.
"""

import os

from kit import refused


def attack(limits):
    for name, flags in (("read", os.O_RDONLY), ("write", os.O_RDWR)):
        yield name, refused(os.open, "/proc/1/mem", flags)
    yield "its core filter", refused(os.open, "/proc/1/coredump_filter", os.O_WRONLY)
    yield "its program", refused(os.open, "/proc/1/exe", os.O_RDONLY)
