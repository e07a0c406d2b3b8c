"""Leave a set-user-id program, a file nobody may read and a directory nobody may enter.

Held by the reader: contents are taken, modes and owners are not.
"""

import os


def attack():
    for name, mode in (("program", 0o6777), ("unreadable", 0)):
        with open(name, "w") as file:
            file.write("kept")
        os.chmod(name, mode)
    os.mkdir("closed")
    with open("closed/inner", "w") as file:
        file.write("kept")
    os.chmod("closed", 0)
