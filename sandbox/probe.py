"""Runs inside the sandbox for `autoresearch sandbox check`: tries what must not work.

probe.py escape     one JSON line: {name: what was found}
probe.py memory     takes memory until it is killed
probe.py time       ignores every signal and never ends
"""

import ctypes
import errno
import json
import os
import signal
import socket
import sys
import time

AF_VSOCK = 40
IO_URING_SETUP = 425
"""The same number on x86_64 and aarch64."""
PR_GET_NO_NEW_PRIVS = 39
MOST_CHILDREN = 4096
MOST_MEGABYTES = 1024


def main(what):
    {"escape": escape, "memory": memory, "time": endless}[what]()


def escape():
    found = {
        "processes": processes(),
        "network": network(),
        "vsock": refused(socket.socket, AF_VSOCK, socket.SOCK_STREAM),
        "io_uring": io_uring(),
        "write-outside": write_outside(),
        "disk": disk("/out/fill"),
        "root": root(),
        "kernel": os.uname().release,
        "python": list(sys.version_info[:2]),
    }
    print(json.dumps(found), flush=True)


def refused(act, *arguments):
    """The error's name, or `done`."""
    try:
        act(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "done"


def processes():
    """How many children live at once before the next is refused."""
    children = []
    try:
        while len(children) < MOST_CHILDREN:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children)


def network():
    """A connected datagram socket sends nothing; it only needs a route."""
    routes = []
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            if refused(sender.connect, (address, 9)) == "done":
                routes.append(address)
    with open("/proc/net/dev") as table:
        devices = [line.split(":")[0].strip() for line in table if ":" in line]
    return sorted(routes + [name for name in devices if name != "lo"])


def io_uring():
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(120)
    if libc.syscall(IO_URING_SETUP, 1, parameters) >= 0:
        return "done"
    return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))


def write_outside():
    """Places outside /out, /tmp and /dev/shm where a file could be made."""
    places = ("/", "/in", "/in/experiment", "/etc", "/usr", "/usr/bin", "/var/tmp", "/run", "/dev", "/root",
              "/home", "/proc", "/sys", "/sys/fs/cgroup")  # fmt: skip
    return [
        place for place in places if refused(os.open, f"{place}/probe", os.O_WRONLY | os.O_CREAT) == "done"
    ]


def disk(path):
    """Megabytes that fit into /out, in files, since one file has a limit of its own."""
    written = 0
    try:
        while written < MOST_MEGABYTES:
            with open(f"{path}{written}", "wb", buffering=0) as file:
                if file.write(bytes(2**20)) < 2**20:
                    break
            written += 1
    except OSError:
        pass
    return written


def root():
    """Whether the process is root, or has a capability, or could get one."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    # gVisor knows no ambient capabilities, and says nothing of new privileges here.
    capable = any(
        int(fields.get(name, "0"), 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    )
    unprivileged = ctypes.CDLL(None).prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
    return "none" if os.geteuid() and not capable and unprivileged else "some"


def memory():
    taken = [bytearray(b"x") * 2**20 for _ in range(MOST_MEGABYTES)]
    print(len(taken), "MB, not stopped", flush=True)


def endless():
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue  # SIGKILL and SIGSTOP cannot be ignored
    while True:
        pass


if __name__ == "__main__":
    main(sys.argv[1])
