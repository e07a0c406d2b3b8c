"""Change the group that limits the run, or use its release agent to run a program on the host.

Held by a read-only view of the groups, and by no right to mount one.
"""

import ctypes
import os

from kit import found, reach, refused

ROOT = "/sys/fs/cgroup"


def attack(limits):
    opened, made = [], []
    for base, _, files in os.walk(ROOT):
        opened += [f"{base}/{name}" for name in files if refused(write_only, f"{base}/{name}") == "worked"]
        if refused(os.mkdir, f"{base}/attack") == "worked":
            os.rmdir(f"{base}/attack")
            made.append(base)
    yield "settings", found(opened)
    yield "groups", found(made)
    for name in (b"cgroup", b"cgroup2"):
        text = ctypes.create_string_buffer(name)
        yield f"mount {name.decode()}", reach(165, text, ctypes.create_string_buffer(b"/tmp"), text, 0, 0)


def write_only(path):
    os.close(os.open(path, os.O_WRONLY))
