"""Read what belongs to the host: passwords, keys, credentials, other mounts.

Held by a root of its own and nothing mounted but two volumes.
"""

import os

from kit import found, mounts, refused

SECRETS = ("/etc/shadow", "/etc/gshadow", "/root/.ssh", "/root/.aws/credentials", "/root/.bash_history", "/host",
           "/var/lib/docker", "/var/run/secrets", "/etc/ssh/ssh_host_ed25519_key", "/boot/vmlinuz",
           "/proc/1/root/../etc/shadow", "/proc/1/cwd/etc/shadow")  # fmt: skip
OURS = {"/", "/in", "/out", "/tmp", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/etc/resolv.conf", "/etc/hostname",
        "/etc/hosts"}  # fmt: skip


def read(path):
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb") as file:
            file.read(1)


def attack(limits):
    for path in SECRETS:
        yield path, refused(read, path)
    others = [
        point for point, _, _ in mounts() if point not in OURS and not point.startswith(("/proc", "/sys"))
    ]
    yield "other mounts", found(others)
