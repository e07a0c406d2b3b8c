"""Find a way out of the network namespace: another device, a tunnel, a setting of a device.

Held by a network namespace with the loopback only, no tunnel device, and the system call filter.
"""

import fcntl
import os
import socket

from kit import found, reach, refused


def attack(limits):
    with open("/proc/net/dev") as table:
        names = [line.split(":")[0].strip() for line in table if ":" in line]
    yield (
        "devices",
        found(sorted(set(names) - {"lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0"})),
    )
    yield "tunnel", refused(os.open, "/dev/net/tun", os.O_RDWR)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        get_flags, set_flags = 0x8913, 0x8914
        request = b"lo".ljust(40, b"\0")
        yield "SIOCGIFFLAGS", refused(fcntl.ioctl, any_socket, get_flags, request)
        yield "SIOCSIFFLAGS", reach(16, any_socket.fileno(), set_flags, 0)
