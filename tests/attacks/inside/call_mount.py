"""Mount: something new, the root writable, a bind over one's own code; by the old calls and the new.

Held by the system call filter, and by the want of capabilities.
"""

import ctypes

from kit import reach


def text(value):
    return ctypes.create_string_buffer(value)


def attack(limits):
    remount_bind_rw, bind = 0x20 | 0x1000, 0x1000
    yield "tmpfs on /mnt", reach(165, text(b"none"), text(b"/mnt"), text(b"tmpfs"), 0, 0)
    yield "proc on /mnt", reach(165, text(b"none"), text(b"/mnt"), text(b"proc"), 0, 0)
    yield "remount / writable", reach(165, 0, text(b"/"), 0, remount_bind_rw, 0)
    yield "bind over /in", reach(165, text(b"/tmp"), text(b"/in"), 0, bind, 0)
    yield "umount /in", reach(166, text(b"/in"), 2)
    for name, number in (("open_tree", 428), ("move_mount", 429), ("fsopen", 430), ("fsconfig", 431),
                         ("fsmount", 432), ("fspick", 433), ("mount_setattr", 442)):  # fmt: skip
        yield name, reach(number, -1, 0, 0, 0, 0)
