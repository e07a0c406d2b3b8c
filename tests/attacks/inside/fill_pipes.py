"""Hold memory that is nobody's: full pipes, of the largest size.

Held by the kernel's limit per user, since each run's user is its own, and by the limit on memory.
"""

import fcntl
import os

from kit import at_most, refused


def attack(limits):
    pipes, held = [], 0
    try:
        while len(pipes) < 400:
            pipes.append(os.pipe2(os.O_NONBLOCK))
            refused(fcntl.fcntl, pipes[-1][1], fcntl.F_SETPIPE_SZ, 2**20)
            held += os.write(pipes[-1][1], bytes(2**20))
    except OSError:
        pass
    for pair in pipes:
        os.close(pair[0])
        os.close(pair[1])
    yield "megabytes", at_most(held >> 20, limits["memory_mb"])
