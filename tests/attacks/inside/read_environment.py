"""Find in the environment what belongs to the person: keys, proxies, paths of their home.

Held by an environment of our own, compared with what the engine made of it.
"""

import os

from kit import found

EXPECTED = {
    "GPG_KEY", "HOME", "HOSTNAME", "LANG", "LC_CTYPE", "MKL_NUM_THREADS", "MPLCONFIGDIR", "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHON_SHA256",
    "PYTHON_VERSION",
}  # fmt: skip


def attack(limits):
    yield "names", found(sorted(set(os.environ) - EXPECTED))
    with open("/etc/hostname") as file:
        yield (
            "host name",
            found([name for name in {os.uname().nodename, file.read().strip()} if name != "sandbox"]),
        )
