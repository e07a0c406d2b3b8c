"""Type into a terminal of the host, or take one.

Held by no terminal and by the system call filter.
"""

import fcntl
import os
import termios

from kit import refused


def attack(limits):
    for fd in (0, 1, 2):
        yield f"TIOCSTI {fd}", refused(fcntl.ioctl, fd, termios.TIOCSTI, b"#")
    yield "controlling terminal", refused(os.open, "/dev/tty", os.O_RDWR)
    yield "console", refused(os.open, "/dev/console", os.O_RDWR)
    if os.path.exists("/dev/ptmx"):
        terminal = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        yield "TIOCSTI own", refused(fcntl.ioctl, terminal, termios.TIOCSTI, b"#")
        yield "TIOCLINUX", refused(fcntl.ioctl, terminal, 0x541C, b"\2")
        yield "TIOCSETD", refused(fcntl.ioctl, terminal, 0x5423, (15).to_bytes(4, "little"))
        os.close(terminal)
