"""Take over process 1, the harness, or a child by tracing it.

Held by the system call filter.
"""

import os

from kit import in_child, reach

TRACEME, ATTACH, SEIZE = 0, 16, 0x4206


def attack(limits):
    yield "seize process 1", reach(101, SEIZE, 1, 0, 0)
    yield "attach to the parent", reach(101, ATTACH, os.getppid(), 0, 0)
    yield "traceme", in_child(reach, 101, TRACEME, 0, 0, 0)
