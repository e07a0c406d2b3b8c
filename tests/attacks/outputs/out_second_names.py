"""Give one file many names, so that its bytes count once here and many times where they are copied.

Held by the reader: a second name is not taken.
"""

import os


def attack():
    with open("first", "wb") as file:
        file.write(bytes(100_000))
    for number in range(50):
        os.link("first", f"again{number}")
