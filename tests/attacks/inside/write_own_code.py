"""Change the experiment, the harness or the issued trials while they run, by every way of writing.

Held by a mount of the inputs that is read-only, and by files that belong to root.
"""

import mmap
import os

from kit import refused


def map_shared(path):
    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def reopen(path):
    first = os.open(path, os.O_RDONLY)
    try:
        os.close(os.open(f"/proc/self/fd/{first}", os.O_WRONLY))
    finally:
        os.close(first)


def attack(limits):
    for path in ("/in/harness.py", "/in/job.json", "/in/experiment/experiment.py"):
        yield f"open {path}", refused(os.open, path, os.O_WRONLY)
        yield f"truncate {path}", refused(os.truncate, path, 0)
        yield f"unlink {path}", refused(os.unlink, path)
        yield f"rename {path}", refused(os.rename, path, "/out/gone")
        yield f"replace {path}", refused(os.rename, "/out/trials.jsonl", path)
        yield f"chmod {path}", refused(os.chmod, path, 0o777)
        yield f"link {path}", refused(os.link, path, "/out/second")
        yield f"map {path}", refused(map_shared, path)
        yield f"reopen {path}", refused(reopen, path)
    yield "new module", refused(os.open, "/in/experiment/numpy.py", os.O_CREAT | os.O_WRONLY)
    yield "rename /in/experiment", refused(os.rename, "/in/experiment", "/in/other")
