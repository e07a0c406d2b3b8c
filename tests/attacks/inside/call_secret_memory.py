"""Take memory that the kernel cannot give back: locked, secret, huge pages.

Held by the system call filter and a limit of 0 on locked memory.
"""

import mmap

from kit import WORKED, reach


def mapped(flags):
    try:
        mmap.mmap(-1, 2**21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | flags).close()
    except OSError as error:
        return error.strerror
    return WORKED


def attack(limits):
    yield "mlock", reach(149, 0, 4096)
    yield "mlockall", reach(151, 2)
    yield "memfd_secret", reach(447, 0)
    yield "MAP_LOCKED", mapped(0x2000)
    yield "MAP_HUGETLB", mapped(0x40000)
