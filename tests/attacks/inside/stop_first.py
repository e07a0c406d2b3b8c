"""Stop or kill process 1, which keeps the deadline.

Held by the kernel: the first process of a namespace takes no such signal from inside.
"""

import os
import signal
import time

from kit import WORKED, status_field


def attack(limits):
    for name in ("SIGSTOP", "SIGKILL", "SIGTSTP"):
        os.kill(1, signal.Signals[name])
        time.sleep(0.05)
        state = status_field("State", 1)
        yield name, f"{WORKED}: {state}" if state[0] in "TtZX" else state
