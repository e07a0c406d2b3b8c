"""Open any of the kernel's settings for writing: all of /proc and /sys is tried.

Held by read-only mounts and the files' own modes. A process's files about itself stay its own.
"""

import errno
import os

from kit import found, refused


def settings(root):
    for base, directories, files in os.walk(root):
        directories[:] = [
            name for name in directories if not name.isdigit() and name not in ("self", "thread-self")
        ]
        yield from (os.path.join(base, name) for name in files)


def attack(limits):
    for root in ("/proc", "/sys"):
        # Not os.access: it asks the mode, not the mount. Opening alone changes nothing.
        opened = [path for path in settings(root) if refused(write_only, path) == "worked"]
        yield root, found(opened)


def write_only(path):
    if os.stat(path).st_rdev == os.makedev(1, 3):
        raise PermissionError(errno.EPERM, "masked by the null device")
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
