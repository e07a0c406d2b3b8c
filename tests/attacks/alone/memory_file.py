"""Take more memory than the limit as anonymous files, which belong to no process.

Held by the container's limit, which counts them.
"""

import os


def run_trial(arm, seed, config, data):
    files = []
    while True:
        files.append(os.memfd_create("x"))
        os.write(files[-1], bytes(2 * 2**20))
