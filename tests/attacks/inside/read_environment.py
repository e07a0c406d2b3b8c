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
    names = {os.uname().nodename}
    if os.path.exists("/etc/hostname"):
        with open("/etc/hostname") as file:
            names.add(file.read().strip())
    yield "host name", found(sorted(names - {"sandbox"}))
