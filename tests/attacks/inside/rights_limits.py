"""Raise one's own limits: open files, file size, core dumps, locked memory, queues.

Held by hard limits, which only a capability raises.
"""

import resource

from kit import WORKED, in_child

NAMES = (
    "RLIMIT_NOFILE",
    "RLIMIT_FSIZE",
    "RLIMIT_CORE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_RTPRIO",
    "RLIMIT_NICE",
)


def raised(which):
    hard = resource.getrlimit(which)[1]
    if hard == resource.RLIM_INFINITY:
        return WORKED
    try:
        resource.setrlimit(which, (hard + 1, hard + 1))
    except (ValueError, PermissionError):
        return "stopped"
    return WORKED


def attack(limits):
    for name in NAMES:
        yield name, in_child(raised, getattr(resource, name))
