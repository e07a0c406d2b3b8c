"""Make a set-user-id program and run it.

Held by mounts on which the bit means nothing, and by no new privileges.
"""

import os
import shutil
import subprocess

from kit import WORKED


def attack(limits):
    for place in ("/out", "/tmp", "/dev/shm"):
        path = f"{place}/attack-id"
        shutil.copy("/usr/bin/id", path)
        os.chmod(path, 0o6755)
        try:
            done = subprocess.run([path, "-u"], capture_output=True, text=True)
            yield place, WORKED if done.stdout.strip() == "0" else "no other user"
        except PermissionError:
            yield place, "not executable"
        os.unlink(path)
