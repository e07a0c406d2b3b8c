"""Load a program or a map into the kernel.

Held by the system call filter.
"""

import ctypes

from kit import reach


def attack(limits):
    for command, name in ((0, "BPF_MAP_CREATE"), (5, "BPF_PROG_LOAD"), (18, "BPF_BTF_LOAD")):
        yield name, reach(321, command, ctypes.create_string_buffer(120), 120)
