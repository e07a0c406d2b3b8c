"""Leave a mark wherever something can be written, for a later run to find; and look for such marks.

Held by file systems in memory that go with the run, and a root that cannot be written.
"""

import os

from kit import walk

MARK = "left-by-an-earlier-run"


def run_trial(arm, seed, config, data):
    places = [path for path in walk(skip=("/proc", "/sys", "/usr", "/out/artifacts")) if os.path.isdir(path)]
    if arm == "control":
        found = [place for place in places if os.path.exists(f"{place}/{MARK}")]
        for place in (*places, "/out", "/tmp", "/dev/shm", "/dev/mqueue"):
            try:
                with open(f"{place}/{MARK}", "w") as file:
                    file.write("x")
            except OSError:
                pass
        return {"many": [float(len(found))] * 20}
    return {"many": [0.0] * 20}
