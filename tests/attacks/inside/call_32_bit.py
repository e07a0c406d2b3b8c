"""Make system calls through the 32-bit gate, whose numbers a 64-bit filter reads as other calls.

Held by the filter, which names no 32-bit architecture: the kernel ends the process with SIGSYS.
"""

import ctypes
import mmap

from kit import WORKED, in_child


def get_pid_by_interrupt():
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20; int 0x80; ret
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return WORKED


def attack(limits):
    yield "int 0x80", in_child(get_pid_by_interrupt)
