"""Open a socket of every family there is: Bluetooth, XDP, CAN, TIPC, RDS, NFC and the rest.

Held by the system call filter, which knows three families.
"""

import socket

from kit import found, refused

KEPT = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_RDM, socket.SOCK_SEQPACKET)


def attack(limits):
    for family in range(64):
        if family not in KEPT:
            opened = [
                kind.name
                for kind in KINDS
                if refused(lambda k=kind, f=family: socket.socket(f, k).close()) == "worked"
            ]
            yield f"family {family}", found(opened)
