"""What the attacks share. It is sent into the sandbox beside them.

An attack of `inside/` is a module with `attack(limits)`, which yields what it tried and
what came of it: `WORKED`, or anything else, as `EPERM`, for an attempt that was stopped.
System call numbers are those of x86_64.
"""

import ctypes
import errno
import json
import os
import signal

WORKED = "worked"
STOPPED = {"EPERM", "ENOSYS", "EACCES"}
"""Errors that say no. Any other, as EFAULT, comes from a kernel that looked at the arguments."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def refused(act, *arguments):
    """WORKED, or the name of the error with which `act` failed."""
    try:
        act(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return WORKED


def raw(number, *arguments):
    """One system call: its result, or its error as a negative number."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = _libc.syscall(ctypes.c_long(number), *given)
    return result if result >= 0 else -ctypes.get_errno()


def reach(number, *arguments):
    """One system call that must not reach the kernel's own code, whatever its arguments."""
    result = raw(number, *arguments)
    name = errno.errorcode.get(-result, str(result))
    return name if name in STOPPED else WORKED


def found(things, limit=5):
    """WORKED with the first of `things`; `nothing found` if there are none."""
    return f"{WORKED}: {', '.join(map(str, things[:limit]))}" if things else "nothing found"


def at_most(count, limit):
    """WORKED if `count` is above `limit`."""
    return f"{WORKED}: {count}" if count > limit else f"stopped at {count}"


def in_child(act, *arguments):
    """What `act` returns in a process of its own; the signal's name if one ended it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(act(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read().decode()
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said


def status_field(name, pid="self"):
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return fields.get(name, "0").strip()


def mounts():
    """(mount point, type, options) of everything mounted here."""
    with open("/proc/self/mounts") as table:
        rows = [line.split() for line in table]
    return [(row[1], row[2], row[3].split(",")) for row in rows]


def walk(root="/", skip=("/proc", "/sys")):
    """Every path below `root`, without what lies in `skip`."""
    for base, directories, files in os.walk(root):
        directories[:] = [name for name in directories if os.path.join(base, name) not in skip]
        yield base
        for name in files:
            yield os.path.join(base, name)


def issued():
    """The job as the harness reads it."""
    with open("/in/job.json") as file:
        return json.load(file)


def honest_lines():
    """A line for every issued trial as the harness would write it, with values of the attack's choice."""
    rest = {
        "values": {"many": [1.0] * 20},
        "arrays": None,
        "error": None,
        "data_sha256": None,
        "data_note": None,
    }
    return [
        {**trial, "status": "ok", "seconds": 0.1, "cpu_seconds": 0.1, **rest} for trial in issued()["trials"]
    ]


def forge(content):
    """Leave `content` as the run's trials and end it, without an error, before the harness writes any."""
    if not isinstance(content, bytes):
        content = b"".join(json.dumps(line).encode() + b"\n" for line in content)
    with open("/out/trials.jsonl", "wb") as file:
        file.write(content)
    os._exit(0)
