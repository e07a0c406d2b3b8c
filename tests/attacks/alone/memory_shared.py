"""Take more memory than the limit as shared mappings, kept by children.

Held by the container's limit, which counts whoever touched it first.
"""

import mmap


def run_trial(arm, seed, config, data):
    shared = []
    while True:
        shared.append(mmap.mmap(-1, 16 * 2**20))
        shared[-1].write(b"x" * (16 * 2**20))
