"""Set the machine's clock, or its speed.

Held by the system call filter, and by the want of capabilities.
"""

import ctypes
import time

from kit import reach


def attack(limits):
    now = ctypes.create_string_buffer(int(time.time()).to_bytes(8, "little"), 16)
    yield "clock_settime", reach(227, 0, now)
    yield "settimeofday", reach(164, now, 0)
    yield "adjtimex", reach(159, ctypes.create_string_buffer(b"\1", 256))
    yield "clock_adjtime", reach(305, 0, ctypes.create_string_buffer(b"\1", 256))
