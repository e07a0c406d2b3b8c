"""Make what outlives its maker: System V memory, queues and semaphores, POSIX queues.

Held by the system call filter; the namespace goes with the container.
"""

import ctypes

from kit import reach


def attack(limits):
    yield "shmget", reach(29, 0, 4096, 0o1600)
    yield "msgget", reach(68, 0, 0o1600)
    yield "semget", reach(64, 0, 1, 0o1600)
    yield "mq_open", reach(240, ctypes.create_string_buffer(b"attack"), 0o102, 0o600, 0)
