"""Write anywhere but the places that are the run's: every directory is tried.

Held by a read-only root, a user without rights, and read-only system directories.
"""

import os

from kit import found, refused, walk

OWN = ("/out", "/tmp", "/dev/shm")


def attack(limits):
    written = []
    for path in walk(skip=("/proc", "/sys", *OWN)):
        if len(written) < 10 and os.path.isdir(path) and not os.path.islink(path):
            new = f"{path}/attack"
            if refused(os.open, new, os.O_CREAT | os.O_WRONLY) == "worked":
                os.unlink(new)
                written.append(path)
    yield "a file in any directory", found(written)
    existing = ("/etc/passwd", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/ld.so.preload", "/etc/ld.so.cache",
                "/bin/sh", "/usr/bin/env")  # fmt: skip
    yield (
        "into a file",
        found([p for p in existing if refused(os.open, p, os.O_WRONLY | os.O_APPEND) == "worked"]),
    )
