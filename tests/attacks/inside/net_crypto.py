"""Reach the kernel's cryptography by AF_ALG, which loads modules on demand.

Held by the system call filter.
"""

import socket

from kit import refused


def attack(limits):
    for name, kind in (("seqpacket", socket.SOCK_SEQPACKET), ("stream", socket.SOCK_STREAM)):
        yield name, refused(lambda k=kind: socket.socket(socket.AF_ALG, k).close())
