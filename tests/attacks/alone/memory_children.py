"""Take more memory than the limit, spread over children, and end without an error.

Held by the container's limit, which counts all processes; the engine reports it behind exit code 0.
"""

import os
import signal


def run_trial(arm, seed, config, data):
    children = []
    for _ in range(16):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            block = b"x" * (32 * 2**20)
            os.write(writer, block[:1])
            signal.pause()
        os.close(writer)
        os.read(reader, 1)  # its memory is taken, or the kernel ended it
        os.close(reader)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"many": [1.0] * 20}
