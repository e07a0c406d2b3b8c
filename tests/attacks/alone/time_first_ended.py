"""Make process 1 end the run early by the signals it does listen to, with finished trials behind.

Held by exit code and host: process 1 hands on the signal, and the run is not completed.
"""

import json
import os
import signal
import time

from kit import honest_lines


def run_trial(arm, seed, config, data):
    with open("/out/trials.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in honest_lines())
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(1, number)
        time.sleep(0.1)
    time.sleep(3600)
