"""Switch off the machine's Ctrl-Alt-Del, the harmless one of the calls that restart it.

Held by the system call filter, and by the want of capabilities.
"""

from kit import reach


def attack(limits):
    yield "reboot", reach(169, 0xFEE1DEAD, 672274793, 0, 0)
