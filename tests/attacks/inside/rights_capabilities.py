"""Have or get a capability, another user id, or a right from a file.

Held by no capability in any set, no new privileges, and an image without set-user-id programs.
"""

import ctypes
import os
import stat

from kit import found, in_child, raw, reach, refused, status_field, walk


def attack(limits):
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        yield name, found([name] if int(status_field(name), 16) else [])
    yield "new privileges", found(["allowed"] if raw(157, 39, 0, 0, 0, 0) != 1 else [])
    yield "no filter", found(["none"] if status_field("Seccomp") != "2" else [])
    yield "setuid 0", in_child(refused, os.setuid, 0)
    yield "setgid 0", in_child(refused, os.setgid, 0)
    yield "setgroups", in_child(refused, os.setgroups, [0])
    header = ctypes.create_string_buffer((0x20080522).to_bytes(4, "little"), 8)
    yield "capset", in_child(reach, 126, header, ctypes.create_string_buffer(b"\xff" * 24, 24))
    yield "programs", found([path for path in walk() if raises(path)])
    yield "root's", found([0] if 0 in (os.getuid(), os.geteuid(), os.getgid(), *os.getgroups()) else [])


def raises(path):
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & (stat.S_ISUID | stat.S_ISGID))
