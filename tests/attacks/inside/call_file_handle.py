"""Open files of the host by inode number, through no path, as Shocker did.

Held by the system call filter, and by the want of capabilities.
"""

import ctypes
import os

from kit import reach


def attack(limits):
    handle = ctypes.create_string_buffer(b"\x08\0\0\0\x01\0\0\0\x02", 136)
    place = ctypes.create_string_buffer(8)
    yield "name_to_handle_at", reach(303, -100, ctypes.create_string_buffer(b"/"), handle, place, 0)
    root = os.open("/", os.O_RDONLY)
    yield "open_by_handle_at", reach(304, root, handle, 0)
    os.close(root)
