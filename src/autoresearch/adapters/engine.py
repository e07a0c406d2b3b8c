"""Connect to the Docker engine, or say which command gets one."""

import getpass
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch.errors import BackEndMissing

if TYPE_CHECKING:
    from docker import DockerClient

SOCKET = Path("/var/run/docker.sock")
SYSTEMD = Path("/run/systemd/system")
"""There exactly if systemd is this machine's init (sd_booted(3))."""


def connect(timeout_seconds: int = 60) -> "DockerClient":
    """A client of the engine that `docker` itself would use (DOCKER_HOST, context, default socket).

    Raises BackEndMissing with the command that gets an engine. The caller closes the client.
    """
    import docker
    from docker.errors import DockerException

    try:
        return docker.from_env(timeout=timeout_seconds)  # asks the engine for its version
    except DockerException as error:
        raise BackEndMissing(f"no Docker engine answers: {reason(error)}\n{mend()}") from error


def reason(error: BaseException) -> str:
    """The innermost cause, which is the part that a person can act on."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) if not isinstance(error, OSError) or error.strerror is None else error.strerror.lower()


def mend() -> str:
    """What to type on this machine to get an engine that answers."""
    if host := os.environ.get("DOCKER_HOST"):
        return f"DOCKER_HOST is {host}: start the engine there, or use this machine's: unset DOCKER_HOST"
    sudo = "" if os.geteuid() == 0 else "sudo "
    if SOCKET.exists() and not os.access(SOCKET, os.W_OK):
        return f"this user may not use it: sudo usermod -aG docker {getpass.getuser()}, then log in again"
    if shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        start = (
            "systemctl start docker" if SYSTEMD.is_dir() else "sh -c 'dockerd >/var/log/dockerd.log 2>&1 &'"
        )
        return f"it is installed but does not run: {sudo}{start}"
    if shutil.which("apt-get"):
        return f"install one: {sudo}apt-get update && {sudo}apt-get install docker.io"
    return "install Docker Engine from your distribution's packages and start it"


def main() -> int:
    """`python -m autoresearch.adapters.engine`: exit 0 and the version, or 4 and the mend."""
    try:
        client = connect(timeout_seconds=10)
    except BackEndMissing as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(client.version()["Version"])
    client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
