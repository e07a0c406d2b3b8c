"""Start processes until no more can be started.

Held by the limit on processes of the whole container.
"""

import os
import signal

from kit import at_most


def attack(limits):
    children = []
    try:
        while len(children) <= 4 * limits["processes"]:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    yield "children", at_most(len(children), limits["processes"])
