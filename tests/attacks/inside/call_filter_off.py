"""Install a filter of one's own that allows everything, then try again what was refused.

Held by the kernel: filters add up, and the strictest answer counts.
"""

import ctypes
import struct

from kit import WORKED, in_child, raw, reach

ALLOW = struct.pack("HBBI", 6, 0, 0, 0x7FFF0000)


def allow_all_then_unshare():
    code = ctypes.create_string_buffer(ALLOW, 8)
    program = ctypes.create_string_buffer(struct.pack("H6xQ", 1, ctypes.addressof(code)), 16)
    no_new_privileges, mode_filter = 38, 1
    raw(157, no_new_privileges, 1, 0, 0, 0)
    if raw(317, mode_filter, 0, program) != 0:
        return "the filter was not taken"
    return reach(272, 0x10000000)


def switch_off():
    return WORKED if raw(317, 2, 0, 0) == 0 or raw(157, 22, 0, 0, 0, 0) == 0 else "not possible"


def attack(limits):
    yield "allow all, then unshare", in_child(allow_all_then_unshare)
    yield "switch the filter off", in_child(switch_off)
