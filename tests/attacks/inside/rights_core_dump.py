"""Crash, so that the kernel writes a core file, or hands it to a program of the host.

Held by a limit of 0, hard, on core files.
"""

import os
import resource

from kit import WORKED, found, in_child


def crash():
    os.chdir("/tmp")
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    os.abort()


def attack(limits):
    ended = in_child(crash)
    yield "crash", ended if ended == "SIGABRT" else f"{WORKED}: {ended}"
    yield "limit", found([n for n in resource.getrlimit(resource.RLIMIT_CORE) if n])
    yield (
        "files",
        found([name for place in ("/tmp", "/out", ".") for name in os.listdir(place) if "core" in name]),
    )
