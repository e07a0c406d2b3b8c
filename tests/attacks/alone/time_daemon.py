"""Leave a daemon behind that writes on after the run has ended.

Held by the death of the process namespace with its first process.
"""

import os
import signal
import time


def run_trial(arm, seed, config, data):
    if arm == "control" and os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in (1, 2, 3, 15):
            signal.signal(number, signal.SIG_IGN)
        while True:
            with open("/out/artifacts/heartbeat", "w") as file:
                file.write(str(time.time()))
            time.sleep(0.01)
    time.sleep(0.2)
    return {"many": [1.0] * 20}
