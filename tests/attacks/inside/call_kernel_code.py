"""Load a module into the kernel, take one out, or prepare another kernel.

Held by the system call filter, and by the want of capabilities.
"""

import ctypes

from kit import reach


def attack(limits):
    nothing = ctypes.create_string_buffer(64)
    yield "init_module", reach(175, nothing, 64, nothing)
    yield "finit_module", reach(313, -1, nothing, 0)
    yield "delete_module", reach(176, ctypes.create_string_buffer(b"no-such-module"), 0)
    yield "kexec_load", reach(246, 0, 0, 0, 0)
    yield "kexec_file_load", reach(320, -1, -1, 0, nothing, 0)
