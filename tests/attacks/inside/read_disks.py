"""Read or make a device: disks, memory, the kernel's log, virtual machines, file systems in user space.

Held by a /dev of harmless devices, no right to make any, and mounts on which devices mean nothing.
"""

import os
import stat

from kit import found, refused

HARMLESS = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}


def attack(limits):
    devices = []
    for base, _, files in os.walk("/dev"):
        for name in files:
            mode = os.lstat(os.path.join(base, name)).st_mode
            if (
                (stat.S_ISBLK(mode) or stat.S_ISCHR(mode))
                and name not in HARMLESS
                and not base.endswith("/pts")
            ):
                devices.append(os.path.join(base, name))
    yield "there", found(devices)
    for name, kind, major, minor in (("disk", stat.S_IFBLK, 8, 0), ("memory", stat.S_IFCHR, 1, 1),
                                     ("fuse", stat.S_IFCHR, 10, 229), ("kvm", stat.S_IFCHR, 10, 232)):  # fmt: skip
        for place in ("/tmp", "/out", "/dev/shm"):
            path = f"{place}/attack-{name}"
            yield f"mknod {path}", refused(os.mknod, path, kind | 0o600, os.makedev(major, minor))
            if os.path.lexists(path):
                yield f"open {path}", refused(os.open, path, os.O_RDONLY)
                os.unlink(path)
