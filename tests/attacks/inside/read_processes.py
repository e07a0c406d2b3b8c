"""See the host's processes, and the environment and open files of process 1.

Held by a process namespace, and by a program for process 1 that its own user cannot read.
"""

import os

from kit import found, refused


def first_line(path):
    with open(path, "rb") as file:
        file.read(64)


def attack(limits):
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    yield "processes that are not the run's", found([pid for pid in pids if pid > 1 and os.getpgid(pid) == 0])
    yield "more than the limit", found(pids[limits["processes"] :])
    yield "environment of process 1", refused(first_line, "/proc/1/environ")
    yield "open files of process 1", refused(os.listdir, "/proc/1/fd")
    yield "root of process 1", refused(os.listdir, "/proc/1/root")
    yield "memory map of process 1", refused(first_line, "/proc/1/maps")
