"""Leave modules where the next Python would look first: the current directory, the home, PYTHONPATH.

Held by how the harness is started: without user packages, without the current directory.
"""

import os
import subprocess
import sys

from kit import WORKED


def attack(limits):
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    user = f"/tmp/.local/lib/{version}/site-packages"
    for place in (".", "/out", "/tmp", user):
        os.makedirs(place, exist_ok=True)
        for name in ("json", "sitecustomize", "usercustomize", "random"):
            with open(f"{place}/{name}.py", "w") as file:
                file.write("print('hijacked')\n")
    done = subprocess.run(
        ["python3", "-s", "-P", "-B", "-c", "import json, math, os, random"], capture_output=True, text=True
    )
    for place in (".", "/out", "/tmp", user):
        for name in ("json", "sitecustomize", "usercustomize", "random"):
            os.unlink(f"{place}/{name}.py")
    yield "started as the harness is", WORKED if "hijacked" in done.stdout else "not imported"
