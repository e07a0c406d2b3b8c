"""Nest directories until no path can name the last.

Held by the reader's limit on directories, and an engine that reads what it can name.
"""

import os


def attack():
    for _ in range(200):
        os.mkdir("d")
        os.chdir("d")
    with open("file", "w") as file:
        file.write("far")
