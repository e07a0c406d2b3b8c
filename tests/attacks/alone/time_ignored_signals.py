"""Ignore every signal and go on past the deadline.

Held by the supervisor's clock and SIGKILL.
"""

import signal


def run_trial(arm, seed, config, data):
    for number in set(range(1, 65)) - {9, 19, 32, 33}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass
