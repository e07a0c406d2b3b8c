"""Configure the kernel by message: routes, audit, firewall, cryptography, device events.

Held by the system call filter.
"""

import socket

from kit import refused

PROTOCOLS = {"route": 0, "diagnosis": 4, "selinux": 7, "audit": 9, "netfilter": 12, "events": 15, "generic": 16,
             "crypto": 21}  # fmt: skip


def attack(limits):
    for name, protocol in PROTOCOLS.items():
        yield name, refused(lambda p=protocol: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, p).close())
