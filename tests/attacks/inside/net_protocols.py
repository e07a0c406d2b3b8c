"""Open an internet socket of a rare protocol, whose code is large and seldom read: SCTP, DCCP, MPTCP, L2TP.

Held by the system call filter, which knows the protocols TCP and UDP.
"""

import socket

from kit import found, refused

KEPT = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
DCCP = 6
"""Its own kind of socket."""
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, DCCP)


def attack(limits):
    for family in (socket.AF_INET, socket.AF_INET6):
        opened = [
            (protocol, kind)
            for protocol in (*range(256), 262)
            if protocol not in KEPT
            for kind in map(int, KINDS)
            if refused(lambda p=protocol, k=kind, f=family: socket.socket(f, k, p).close()) == "worked"
        ]
        yield family.name, found(opened)
