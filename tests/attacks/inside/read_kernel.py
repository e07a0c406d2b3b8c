"""Read the kernel: its memory, its symbols' addresses, its keys, its timers, the firmware, debugging.

Held by masked paths.
"""

import os

from kit import WORKED

PATHS = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/acpi",
         "/proc/scsi", "/proc/interrupts", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing",
         "/sys/kernel/security", "/sys/devices/virtual/powercap", "/proc/kmsg", "/proc/vmallocinfo", "/proc/slabinfo",
         "/proc/pagetypeinfo", "/proc/kpagecount")  # fmt: skip


def content(path):
    try:
        if os.path.isdir(path):
            return WORKED if os.listdir(path) else "empty"
        with open(path, "rb", buffering=0) as file:
            return WORKED if file.read(64) else "empty"
    except OSError as error:
        return error.strerror


def attack(limits):
    for path in PATHS:
        yield path, content(path)
    try:
        with open("/proc/kallsyms") as symbols:
            yield "addresses", WORKED if any(int(line.split()[0], 16) for line in symbols) else "zeros"
    except OSError as error:
        yield "addresses", error.strerror
