"""Use up what the kernel counts over the whole machine or per user: watches, asynchronous requests.

Held by the system call filter; each run's user id is its own.
"""

import ctypes

from kit import reach


def attack(limits):
    context = ctypes.create_string_buffer(8)
    yield "inotify_init", reach(253)
    yield "inotify_init1", reach(294, 0)
    yield "io_setup", reach(206, 128, context)
    yield "fanotify_init", reach(300, 0, 0)
