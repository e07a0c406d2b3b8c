"""Kill every process in reach, the harness too, and leave finished trials behind.

Held by exit code and host: a run whose harness was killed is not completed.
"""

import json
import os
import signal

from kit import honest_lines


def run_trial(arm, seed, config, data):
    with open("/out/trials.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in honest_lines())
    os.kill(-1, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
