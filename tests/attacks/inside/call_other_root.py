"""Leave the container's root: pivot_root, and the chroot that a later chdir climbs out of.

Held by the system call filter, and by the want of capabilities.
"""

import ctypes

from kit import in_child, reach


def attack(limits):
    path = ctypes.create_string_buffer(b"/tmp")
    yield "pivot_root", reach(155, path, path)
    yield "chroot", in_child(reach, 161, path)
