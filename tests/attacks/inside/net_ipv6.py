"""Reach an address by version 6: global, link-local, all nodes.

Held by a network namespace without a device.
"""

import socket

from kit import refused


def attack(limits):
    for address in ("2001:db8::1", "2606:4700:4700::1111", "fe80::1", "ff02::1", "::ffff:1.1.1.1"):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as tried:
            yield address, refused(tried.connect, (address, 53, 0, 1 if address.startswith("f") else 0))
