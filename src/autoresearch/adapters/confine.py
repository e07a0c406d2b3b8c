"""Leaves the calling process nothing but its memory and the descriptors that it has.

For a process that is about to read a file of somebody else's: it has imported what it needs, holds
the file's bytes, and has nothing more to open, start or connect to. The kernel's filter of system
calls says so, for good and also for whatever would follow; it takes neither root nor a container.
"""

import ctypes
import json
import os
import resource

from autoresearch.adapters.seccomp_filter import compile_filter
from autoresearch.errors import BackEndMissing

CALLS = (
    "read", "write", "close",
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "clock_gettime", "getrandom", "exit", "exit_group",
)  # fmt: skip
"""None takes a path, an address or another process. Everything else is refused with EPERM."""
MOST_DESCRIPTORS = 65536
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


def confinement() -> bytes:
    """What `confine` is given, compiled for this machine. Raises BackEndMissing."""
    allowed = {"names": CALLS, "action": "SCMP_ACT_ALLOW"}
    return compile_filter(
        json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [allowed]}).encode()
    )


def confine(instructions: bytes, output: int) -> None:
    """Not to be undone. `output`: bytes that may be written to each file that is open.

    Raises BackEndMissing if the kernel does not do it.
    """
    for limit, most in ((resource.RLIMIT_FSIZE, output), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    os.closerange(3, MOST_DESCRIPTORS)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(instructions) // 8, instructions)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0
    ):
        why = os.strerror(ctypes.get_errno())
        raise BackEndMissing(f"this kernel sets no filter of system calls (seccomp): {why}")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))
