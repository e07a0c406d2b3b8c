"""Run a program that is nowhere on a disk, from memory, and see whether it has more rights.

Held by the kernel: filter, user and limits go with the process into the next program.
"""

import os
import shutil
import subprocess

from kit import found


def attack(limits):
    program = os.memfd_create("attack", 0)
    with open(shutil.which("grep"), "rb") as file:
        os.sendfile(program, file.fileno(), 0, 2**24)
    path = f"/proc/self/fd/{program}"
    done = subprocess.run(
        [path, "-E", "^(NoNewPrivs|Seccomp|CapEff|CapBnd):", "/proc/self/status"],
        capture_output=True, text=True, pass_fds=[program],
    )  # fmt: skip
    os.close(program)
    fields = dict(line.split(":\t") for line in done.stdout.splitlines())
    kept = {"NoNewPrivs": 1, "Seccomp": 2, "CapEff": 0, "CapBnd": 0}
    yield (
        "rights",
        found([name for name, value in kept.items() if int(fields.get(name, str(value)), 16) != value]),
    )
