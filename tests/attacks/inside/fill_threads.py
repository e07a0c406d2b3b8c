"""Start threads until no more can be started.

Held by the limit on processes, which counts threads.
"""

import threading

from kit import at_most


def attack(limits):
    done, threads = threading.Event(), []
    try:
        while len(threads) <= 4 * limits["processes"]:
            thread = threading.Thread(target=done.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass
    done.set()
    for thread in threads:
        thread.join()
    yield "threads", at_most(len(threads), limits["processes"])
