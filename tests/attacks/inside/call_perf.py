"""Open a performance counter: of this process, of every process, of the whole machine.

Held by the system call filter.
"""

import ctypes

from kit import reach


def attack(limits):
    attributes = ctypes.create_string_buffer(b"\1\0\0\0\x70\0\0\0", 112)
    for name, pid, cpu in (("own", 0, -1), ("another's", 1, -1), ("the machine's", -1, 0)):
        yield name, reach(298, attributes, pid, cpu, -1, 0)
