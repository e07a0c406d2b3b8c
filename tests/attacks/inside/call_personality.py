"""Change how the kernel lays out and runs this program: no address randomisation, other ABIs.

Held by the system call filter.
"""

from kit import in_child, reach


def attack(limits):
    for name, value in (("no randomisation", 0x40000), ("read implies exec", 0x400000), ("32 bit", 8)):
        yield name, in_child(reach, 135, value)
