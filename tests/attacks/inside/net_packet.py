"""Read and write frames and packets past the network's own rules.

Held by the system call filter and the want of capabilities.
"""

import socket

from kit import refused


def attack(limits):
    for name, arguments in (
        ("packet raw", (socket.AF_PACKET, socket.SOCK_RAW, 3)),
        ("packet datagram", (socket.AF_PACKET, socket.SOCK_DGRAM, 3)),
        ("raw icmp", (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
        ("raw tcp", (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)),
        ("raw icmp 6", (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)),
    ):
        yield name, refused(lambda a=arguments: socket.socket(*a).close())
