"""Find a place that can be written and has no limit of its own, in bytes or in files.

Held by the policy: each such place is a file system with both.
"""

import os

from kit import found, mounts


def is_masked(path):
    """Whether the null device lies over it."""
    return os.stat(path).st_rdev == os.makedev(1, 3)


def attack(limits):
    endless, unbounded = [], []
    for point, kind, _ in mounts():
        if (
            kind in ("proc", "sysfs", "devpts", "cgroup", "cgroup2")
            or not os.access(point, os.W_OK)
            or is_masked(point)
        ):
            continue
        if kind == "mqueue":
            continue  # its own limit, RLIMIT_MSGQUEUE, is tried in call_leftovers
        size = os.statvfs(point)
        if not 0 < size.f_blocks * size.f_frsize <= max(32, limits["output_mb"]) * 2**20:
            endless.append(point)
        if not 0 < size.f_files <= 16_384:
            unbounded.append(point)
    yield "bytes", found(endless)
    yield "files", found(unbounded)
