"""Talk to the hypervisor, or to the host from a virtual machine: vsock knows no network namespace.

Held by the system call filter.
"""

import socket

from kit import refused


def to(address):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as tried:
        tried.settimeout(0.5)
        tried.connect(address)


def attack(limits):
    for name, cid in (("hypervisor", 0), ("local", 1), ("host", 2)):
        yield name, refused(to, (cid, 22))
    yield "socket alone", refused(lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close())
