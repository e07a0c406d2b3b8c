"""Make the kernel kill somebody else when memory runs out.

Held by the want of capabilities: a process may only make itself a likelier victim.
"""

import os

from kit import in_child


def lower():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")


def attempt():
    try:
        lower()
    except OSError as error:
        return error.strerror
    return "worked"


def attack(limits):
    yield "oom_score_adj", in_child(attempt)
    yield "the file of process 1", in_child(write_first)


def write_first():
    try:
        os.write(os.open("/proc/1/oom_score_adj", os.O_WRONLY), b"1000")
    except OSError as error:
        return error.strerror
    return "worked"
