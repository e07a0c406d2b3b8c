"""Run away: each process starts its successor in a session of its own and ends, too fast to be hit.

Held by the death of the process namespace: the kernel kills all of it at once.
"""

import os
import time


def run_trial(arm, seed, config, data):
    for _ in range(4):
        if os.fork() == 0:
            while True:
                os.setsid() if os.getpgid(0) != os.getpid() else None
                time.sleep(0.001)
                try:
                    if os.fork():
                        os._exit(0)
                except OSError:
                    pass
    time.sleep(3600)
