"""Take an open file out of process 1 by its pidfd.

Held by the system call filter.
"""

import os

from kit import reach


def attack(limits):
    try:
        process = os.pidfd_open(1)
    except OSError as error:  # gVisor knows none
        yield "pidfd_open", error.strerror
        return
    yield "pidfd_getfd", reach(438, process, 0, 0)
    os.close(process)
