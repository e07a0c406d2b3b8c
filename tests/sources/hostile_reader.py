"""In place of a PDF library that a file has taken over: what it tries, and what came of it.

    python -I hostile_reader.py {confined,plain,flood,lie} PLACE

PLACE holds `secret.txt`, and an attack that works leaves something there. `plain` carries the same
attacks out without confinement, so that they are seen to be able to work.
"""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

from autoresearch.adapters import source_worker


def attacks(place):
    return {
        "read a file": (place / "secret.txt").read_text,
        "read its own environment": lambda: Path("/proc/self/environ").read_bytes(),
        "list a directory": lambda: list(place.iterdir()),
        "learn whether a file is there": (place / "secret.txt").stat,
        "write a file": lambda: (place / "written").write_text("x"),
        "make a directory": (place / "made").mkdir,
        "rename a file": lambda: (place / "renamed").rename(place / "moved"),
        "delete a file": (place / "deleted").unlink,
        "change a file's mode": lambda: (place / "secret.txt").chmod(0o777),
        "link to a file": lambda: (place / "link").symlink_to("/etc/passwd"),
        "make a pipe": os.pipe,
        "open a TCP socket": socket.socket,
        "open a UDP socket": lambda: socket.socket(type=socket.SOCK_DGRAM),
        "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
        "make a file in memory": lambda: os.memfd_create("x"),
        "fork": fork,
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "signal its parent": lambda: os.kill(os.getppid(), 0),
        "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_CPU, resource.getrlimit(resource.RLIMIT_CPU)),
        "set a timer": lambda: signal.setitimer(signal.ITIMER_REAL, 0),
        "read another's memory": lambda: must(ctypes.CDLL(None, use_errno=True).process_vm_readv(os.getpid(), None, 0, None, 0, 0)),
        "change directory": lambda: os.chdir("/"),
        "find a descriptor": lambda: [os.dup(number) for number in range(3, 20) if can(os.dup, number)] or must(-1),
    }  # fmt: skip


def fork():
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def must(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")


def can(call, *given):
    try:
        call(*given)
    except OSError:
        return False
    return True


def outcomes(place):
    lines = [f"environment: {sorted(os.environ)}"]
    for name, attack in attacks(place).items():
        try:
            attack()
            lines.append(f"{name}: worked")
        except OSError as error:
            lines.append(f"{name}: refused {error.errno}")
    return "\n".join(lines)


def flood():
    while True:
        os.write(1, b" " * 2**20)


def main(how, place):
    if how == "plain":
        held = os.open("/dev/null", os.O_RDONLY)
        print(outcomes(place))
        os.close(held)
    elif how == "flood":
        source_worker.serve(lambda data: flood())
    elif how == "lie":
        most = "x" * (source_worker.MOST_CHARACTERS + 1)
        source_worker.serve(lambda data: source_worker.Reply.model_construct(text=most))
    else:
        source_worker.serve(lambda data: source_worker.Reply(text=f"{data!r}\n{outcomes(place)}"))


main(sys.argv[1], Path(sys.argv[2]))
