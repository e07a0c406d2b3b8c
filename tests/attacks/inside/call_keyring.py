"""Read the machine's keyrings, or leave a key in one: they belong to no namespace.

Held by the system call filter.
"""

import ctypes

from kit import reach


def attack(limits):
    text = ctypes.create_string_buffer(b"autoresearch-attack")
    user = ctypes.create_string_buffer(b"user")
    yield "add_key", reach(248, user, text, text, 5, -3)
    yield "request_key", reach(249, user, text, 0, -3)
    yield "keyctl", reach(250, 0, -3, 0, 0, 0)
