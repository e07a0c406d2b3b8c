"""Look up a name, a way out that needs no connection of one's own; and learn the host's resolver.

Held by a network namespace without a device; resolv.conf names this container.
"""

import socket

from kit import WORKED, found


def attack(limits):
    try:
        socket.getaddrinfo("leak.example.org", 80)
    except socket.gaierror as error:
        yield "lookup", error.args[1]
    else:
        yield "lookup", WORKED
    with open("/etc/resolv.conf") as file:
        servers = [line.split()[1] for line in file if line.startswith("nameserver")]
    yield "resolvers", found([server for server in servers if server != "127.0.0.1"])
