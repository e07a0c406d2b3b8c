"""Leave a pipe, a socket and devices: whoever opens them waits for ever, or reads a disk.

Held by the system call filter, a file system without devices, and the reader.
"""

import os
import socket
import stat


def attack():
    socket.socket(socket.AF_UNIX).bind("socket")
    for name, mode in (("pipe", stat.S_IFIFO), ("disk", stat.S_IFBLK), ("memory", stat.S_IFCHR)):
        try:
            os.mknod(name, mode | 0o666, os.makedev(1, 1))
        except OSError:
            pass
    with open("kept.txt", "w") as file:
        file.write("kept")
