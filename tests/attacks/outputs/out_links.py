"""Leave links that lead to files of the host, for whoever collects the outputs by path.

Held by the reader: it takes regular files out of an archive stream and follows nothing.
"""

import os


def attack():
    for name, target in (("passwd", "/etc/passwd"), ("root", "/"), ("up", "../../../../etc"), ("own", "own"),
                         ("proc", "/proc/self/environ"), ("job.json", "/in/job.json")):  # fmt: skip
        os.symlink(target, name)
    with open("kept.txt", "w") as file:
        file.write("kept")
