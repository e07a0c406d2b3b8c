"""Hang extended attributes on files, which archives carry along: capabilities, access lists, long values.

Held by the system call filter, and by the reader, which takes contents only.
"""

import os


def attack():
    with open("kept.txt", "w") as file:
        file.write("kept")
    for name, value in (("user.big", b"x" * 60_000), ("security.capability", bytes(20)), ("trusted.x", b"x")):
        try:
            os.setxattr("kept.txt", name, value)
        except OSError:
            pass
