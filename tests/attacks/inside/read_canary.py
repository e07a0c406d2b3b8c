"""Search everything readable for secrets that the host planted in its environment, home and databases.

Held by everything above together: nothing of the host is in the container.
"""

import os

from kit import found, walk

CANARY = b"SECRET" + b"-CANARY-"


def holds(path):
    try:
        if os.path.islink(path) or not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            while block := file.read(2**20):
                if CANARY in block:
                    return True
    except OSError:
        pass
    return False


def attack(limits):
    yield "environment", found([name for name, value in os.environb.items() if CANARY in value])
    # The image is the same for everybody: what differs between machines and runs is outside /usr.
    files = [path for path in walk(skip=("/proc", "/sys", "/usr")) if holds(path)]
    yield "files", found(files)
    processes = [
        f"/proc/{pid}/{name}"
        for pid in os.listdir("/proc")
        if pid.isdigit()
        for name in ("environ", "cmdline")
    ]
    yield "processes", found([path for path in processes if reads(path)])


def reads(path):
    try:
        with open(path, "rb") as file:
            return CANARY in file.read()
    except OSError:
        return False
