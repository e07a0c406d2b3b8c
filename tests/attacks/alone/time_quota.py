"""Use more processors than were approved.

Held by the container's quota of time.
"""

import multiprocessing
import time


def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def run_trial(arm, seed, config, data):
    if arm == "control":
        workers = [multiprocessing.Process(target=burn, args=(3,)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return {"many": [1.0] * 20}
