"""Hold memory that is no process's: full pipes, of the largest size.

Held by the kernel's limit on pipes per user, since each run's user is its own, and by the container's on memory.
"""

import fcntl
import os


def run_trial(arm, seed, config, data):
    held = 0
    try:
        for _ in range(400):
            _, writer = os.pipe2(os.O_NONBLOCK)
            try:
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 2**20)
            except OSError:
                pass
            held += os.write(writer, bytes(2**20))
    except OSError:
        pass
    return {"held": held, "many": [1.0] * 20}
