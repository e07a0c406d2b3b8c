"""Plant code in Python itself: its library, its packages, its start-up files, its byte code.

Held by a read-only root that belongs to root.
"""

import json
import os
import sys
import sysconfig

from kit import refused


def attack(limits):
    paths = sysconfig.get_paths()
    for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts"):
        yield name, refused(os.open, f"{paths[name]}/sitecustomize.py", os.O_CREAT | os.O_WRONLY)
    for place in sys.path:
        if place.startswith("/usr") and os.path.isdir(place):
            yield f"{place} .pth", refused(os.open, f"{place}/attack.pth", os.O_CREAT | os.O_WRONLY)
    for path in (sys.executable, os.path.realpath(sys.executable), os.__file__, json.__spec__.cached):
        yield path, refused(os.open, path, os.O_WRONLY)
