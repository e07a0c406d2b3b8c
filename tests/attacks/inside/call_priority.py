"""Run before everybody else: a higher priority, real time, the first place at the disk.

Held by the want of capabilities and by the system call filter.
"""

import ctypes
import os

from kit import in_child, reach, refused


def attack(limits):
    yield "nice -10", in_child(refused, os.setpriority, os.PRIO_PROCESS, 0, -10)
    yield "real time", in_child(reach, 144, 0, 1, ctypes.create_string_buffer(b"\1\0\0\0", 4))
    yield "deadline", in_child(reach, 314, 0, ctypes.create_string_buffer(56), 0)
    yield "ioprio_set", in_child(reach, 251, 1, 0, 1 << 13)
