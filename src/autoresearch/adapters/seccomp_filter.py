"""Compiles the seccomp profile to the kernel's instructions, for a sandbox that no engine starts."""

import ctypes
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from autoresearch.errors import BackEndMissing, InvalidInput

LIBRARY = "libseccomp.so.2"
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
KILL_PROCESS = 0x80000000
ON_OTHER_ARCHITECTURE = 2
"""SCMP_FLTATR_ACT_BADARCH: also for the x32 numbers of x86_64."""
UNKNOWN = -1
COMPARISONS = {
    "SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}  # fmt: skip


class Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def compile_filter(profile: bytes) -> bytes:
    """The profile for this machine's own architecture; a call of any other kills the process.

    A system call that the library has no name for stays forbidden, as the default has it.
    Raises BackEndMissing without the library, InvalidInput for a profile that it does not take.
    """
    library = _library()
    rules = json.loads(profile)
    default = _action(rules["defaultAction"], rules.get("defaultErrnoRet"))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    if not context:
        raise InvalidInput("the seccomp profile has no default action that libseccomp knows")
    try:
        _must(library.seccomp_attr_set(context, ON_OTHER_ARCHITECTURE, ctypes.c_uint32(KILL_PROCESS)))
        for rule in rules.get("syscalls", []):
            _add(library, context, rule, default)
        with tempfile.TemporaryFile() as file:
            _must(library.seccomp_export_bpf(context, file.fileno()))
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)


def _library() -> Any:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise BackEndMissing(f"{LIBRARY} is not there; install it: apt-get install libseccomp2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def _add(library: Any, context: ctypes.c_void_p, rule: Mapping[str, Any], default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        return
    arguments = [
        Comparison(a["index"], COMPARISONS[a["op"]], a["value"], a.get("valueTwo", 0))
        for a in rule.get("args") or []
    ]
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != UNKNOWN:
            array = (Comparison * len(arguments))(*arguments)
            given = ctypes.c_uint32(action)
            _must(library.seccomp_rule_add_array(context, given, number, len(arguments), array))


def _action(name: str, errno: int | None) -> int:
    if name == "SCMP_ACT_ALLOW":
        return ALLOW
    if name == "SCMP_ACT_ERRNO":
        return ERRNO | (1 if errno is None else errno)
    raise InvalidInput(f"the seccomp profile has an action that this sandbox does not know: {name}")


def _must(result: int) -> None:
    if result:
        raise InvalidInput(f"libseccomp does not take the profile: {os.strerror(abs(result))}")
