"""Tell a recheck from the run itself by anything but the trials: environment, names, mounts, user.

Held by the policy: both are asked for in the same words. The number of trials differs, and shows.
"""

import json
import os

from kit import mounts


def run_trial(arm, seed, config, data):
    about = {
        "environment": sorted(os.environ.items()),
        "arguments": open("/proc/1/cmdline").read(),
        # Every container has numbers of its own in its paths and users, whatever it is for.
        "mounts": sorted(
            (point, kind, [o for o in options if "dir=" not in o and "id=" not in o])
            for point, kind, options in mounts()
        ),
        "host": os.uname().nodename,
        "files": sorted(os.listdir("/in") + os.listdir("/in/experiment")),
    }
    with open("about.json", "w") as file:
        json.dump(about, file)
    return {"many": [1.0] * 20}
