"""Reach an address: the internet, a cloud's metadata service, the engine's bridge, the local network.

Held by a network namespace without a device.
"""

import socket

from kit import refused

PLACES = ("192.0.2.1", "1.1.1.1", "169.254.169.254", "172.17.0.1", "10.0.0.1", "192.168.1.1", "224.0.0.1",
          "255.255.255.255")  # fmt: skip


def attack(limits):
    for address in PLACES:
        for name, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            with socket.socket(socket.AF_INET, kind) as tried:
                tried.settimeout(0.5)
                yield f"{name} {address}", refused(tried.connect, (address, 53))
