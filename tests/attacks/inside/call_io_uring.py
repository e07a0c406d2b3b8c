"""Queue operations through io_uring, which carries them out past the system call filter.

Held by the system call filter.
"""

import ctypes

from kit import reach


def attack(limits):
    yield "io_uring_setup", reach(425, 1, ctypes.create_string_buffer(120))
    yield "io_uring_enter", reach(426, -1, 0, 0, 0, 0)
    yield "io_uring_register", reach(427, -1, 0, 0, 0)
