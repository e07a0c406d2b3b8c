"""First program inside the bubblewrap sandbox: gives up every right, then becomes the experiment's.

It reads on standard input {"uid", "limits", "filter", "argv", "environment"}, and writes one line to
the descriptor `ready` when nothing is left to do but to start: what fails before is the machinery.
"""

import ctypes
import json
import os
import resource
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION = 0x20080522
LAST_CAPABILITY = 63

libc = ctypes.CDLL(None, use_errno=True)


class Instructions(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def main(ready):
    order = json.load(sys.stdin)
    uid = order["uid"]
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
    for number in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # fails beyond the last that the kernel knows
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    must(libc.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()), "capset")
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.set_inheritable(ready, False)
    code = bytes.fromhex(order["filter"])
    program = Instructions(len(code) // 8, code)
    must(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "seccomp")
    os.write(ready, b"ready\n")
    os.execve(order["argv"][0], order["argv"], order["environment"])


def must(result, what):
    if result:
        error = ctypes.get_errno()
        sys.exit(f"launch: {what}: {os.strerror(error)}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
