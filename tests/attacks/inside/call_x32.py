"""Make system calls under their x32 numbers, which a filter that compares numbers does not know.

Held by the filter: x32 is not one of its architectures. Many kernels are built without it.
"""

from kit import in_child, reach

X32 = 0x40000000


def attack(limits):
    yield "getpid", in_child(reach, X32 | 39)
    yield "ptrace", in_child(reach, X32 | 521, 0, 0, 0, 0)
    yield "unshare", in_child(reach, X32 | 272, 0x10000000)
