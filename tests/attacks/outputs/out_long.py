"""Give files names and paths as long as the file system takes them.

Held by the reader's limits on a name, a path and the number of directories.
"""

import os


def attack():
    for name in ("n" * 255, "n" * 101):
        with open(name, "w") as file:
            file.write("long")
    os.makedirs("/".join(["d" * 60] * 5))
    with open("/".join(["d" * 60] * 5) + "/file", "w") as file:
        file.write("far")
