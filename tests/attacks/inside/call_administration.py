"""What only the machine's administrator does: host name, swap, accounting, quotas, ports, kernel log.

Held by the system call filter, and by the want of capabilities.
"""

import ctypes

from kit import reach


def attack(limits):
    name = ctypes.create_string_buffer(b"/tmp/attack")
    for what, number, arguments in (
        ("sethostname", 170, (name, 4)), ("setdomainname", 171, (name, 4)), ("swapon", 167, (name, 0)),
        ("swapoff", 168, (name,)), ("acct", 163, (name,)), ("quotactl", 179, (0, name, 0, 0)),
        ("syslog", 103, (3, name, 11)), ("iopl", 172, (3,)), ("ioperm", 173, (0, 8, 1)), ("vhangup", 153, ()),
        ("modify_ldt", 154, (1, 0, 0)), ("fanotify_init", 300, (0, 0)),
    ):  # fmt: skip
        yield what, reach(number, *arguments)
