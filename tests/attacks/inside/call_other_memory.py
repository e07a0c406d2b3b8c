"""Read and write another process's memory by system call.

Held by the system call filter.
"""

import os

from kit import reach


def attack(limits):
    for name, number in (("process_vm_readv", 310), ("process_vm_writev", 311)):
        yield f"{name} of process 1", reach(number, 1, 0, 0, 0, 0, 0)
        yield f"{name} of the parent", reach(number, os.getppid(), 0, 0, 0, 0, 0)
    yield "process_madvise", reach(440, -1, 0, 0, 0, 0)
    yield "kcmp", reach(312, os.getpid(), 1, 0, 0, 0)
    yield "move_pages", reach(279, 1, 0, 0, 0, 0, 0)
    yield "migrate_pages", reach(256, 1, 0, 0, 0)
