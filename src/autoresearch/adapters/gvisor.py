"""gVisor as a runtime of the Docker engine: whether it is registered so that it may be used.

Debian's runsc of 2022 knows the platforms ptrace and kvm; newer ones also systrap.
"""

import json
from collections.abc import Mapping
from typing import Any

from autoresearch.adapters.docker_policy import RUNSC
from autoresearch.errors import BackEndMissing

REQUIRED = ("--network=none", "--oci-seccomp")
"""No network stack at all; and the system call filter holds inside too, as it does without gVisor."""
PLATFORMS = ("--platform=ptrace", "--platform=systrap", "--platform=kvm")
REGISTRATION = {
    "runtimes": {RUNSC.name: {"path": "/usr/bin/runsc", "runtimeArgs": [PLATFORMS[0], *REQUIRED]}}
}


def platform_of(info: Mapping[str, Any]) -> str:
    """The platform of gVisor as registered with the engine that says `info` of itself.

    Raises BackEndMissing with the registration, also if it is registered with any other
    argument: such a one could give the run the host's network.
    """
    found = (info.get("Runtimes") or {}).get(RUNSC.name)
    if found is None:
        raise BackEndMissing(f"the Docker engine has no runtime {RUNSC.name} (gVisor)\n{mend()}")
    arguments: set[str] = set(found.get("runtimeArgs") or [])
    platforms = arguments & set(PLATFORMS)
    if len(platforms) != 1 or arguments - platforms != set(REQUIRED):
        raise BackEndMissing(
            f"the runtime {RUNSC.name} is registered with {' '.join(sorted(arguments)) or 'no arguments'}, "
            f"but exactly these are needed: {' '.join(REQUIRED)} and one of {' '.join(PLATFORMS)}\n{mend()}"
        )
    return platforms.pop().removeprefix("--platform=")


def mend() -> str:
    """How to get it and register it, and how to tell that it is there."""
    return (
        "install it: apt-get install runsc (or from gvisor.dev)\n"
        f"register it in /etc/docker/daemon.json: {json.dumps(REGISTRATION)}\n"
        "then have the engine read that: kill -HUP $(cat /var/run/docker.pid); look with: autoresearch sandbox check\n"
        'or choose another tier in autoresearch.toml: isolation = "docker"'
    )
