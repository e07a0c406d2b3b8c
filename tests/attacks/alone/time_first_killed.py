"""Kill process 1, which keeps the deadline, and run on for as long as one likes.

Held by the kernel: the first process of a namespace takes no such signal from inside, or all end with it.
"""

import json
import os
import signal
import time

from kit import honest_lines


def run_trial(arm, seed, config, data):
    with open("/out/trials.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in honest_lines())
    for name in ("SIGTSTP", "SIGKILL"):
        os.kill(1, signal.Signals[name])
    time.sleep(3600)
