"""Fill every place that can be written with empty files and directories.

Held by file systems in memory, each with a number of files of its own.
"""

import os

from kit import at_most


def files_in(place, most):
    folder, made = f"{place}/fill", 0
    os.mkdir(folder)
    try:
        while made <= most:
            os.mkdir(f"{folder}/{made}") if made % 2 else open(f"{folder}/{made}", "x").close()
            made += 1
    except OSError:
        pass
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
    os.rmdir(folder)
    return made


def attack(limits):
    for place, most in limits["files"].items():
        yield place, at_most(files_in(place, most), most)
