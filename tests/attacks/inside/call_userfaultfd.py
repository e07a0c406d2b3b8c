"""Handle page faults in user space, the favourite tool for winning races in the kernel.

Held by the system call filter; there is no device for it.
"""

import os

from kit import reach, refused


def attack(limits):
    yield "userfaultfd", reach(323, 0)
    yield "user mode only", reach(323, 1)
    yield "device", refused(os.open, "/dev/userfaultfd", os.O_RDWR)
