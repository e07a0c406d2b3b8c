"""The policy of the bubblewrap tier: its mounts, its command line and what its first program is told.

The numbers are those of the Docker tier (`docker_policy`). `/in`, `/out`, `/tmp` and `/dev/shm` are
tmpfs mounts of the machine with a limit in bytes and in files, below RUNS, so that outputs can be
read after the end, and another process finds and clears them.
"""

import json
import os
from pathlib import Path

from pydantic import JsonValue

from autoresearch.adapters.bubblewrap_root import SYSTEM, Root
from autoresearch.adapters.control_group import GroupLimits
from autoresearch.adapters.docker_policy import (
    ENVIRONMENT,
    HARNESS_COMMAND,
    OPEN_FILES,
    SCRATCH_FILES,
    SHM_MB,
    TMP_MB,
    memory_mb,
    names,
)
from autoresearch.jobs import MOST_FILES
from autoresearch.records import ResourceLimits, digest_of, sha256

RUNS = Path("/run/autoresearch")
ETC = {"hosts": b"127.0.0.1 localhost sandbox\n", "resolv.conf": b"nameserver 127.0.0.1\n"}
"""All there is in /etc: nothing of the machine's."""
OWN_PROCESSES = 1
"""bubblewrap itself has one more than process 1 inside."""
MASKED = ("/proc/kallsyms", "/proc/keys", "/proc/interrupts", "/proc/timer_list", "/proc/pressure")
NAMESPACES = ("net", "pid", "ipc", "uts", "cgroup")
RIGHTS_OF_LAUNCHER = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""With which it takes another uid and gives up these too, before the first byte of the experiment runs."""


def mounts(run_id: str, files_mb: int, limits: ResourceLimits) -> dict[str, str]:
    """Directory below the run's → options of its tmpfs."""
    uid = names(run_id).uid
    own = f"uid={uid},gid={uid},nosuid,nodev"
    return {
        "etc": "size=1m,nr_inodes=16,uid=0,gid=0,mode=0755,nosuid,nodev,noexec",
        "in": f"size={files_mb}m,nr_inodes={SCRATCH_FILES},uid=0,gid=0,mode=0755,nosuid,nodev",
        "out": f"size={limits.output_mb}m,nr_inodes={MOST_FILES},mode=0700,{own}",
        "tmp": f"size={TMP_MB}m,nr_inodes={SCRATCH_FILES},mode=1777,{own},noexec",
        "shm": f"size={SHM_MB}m,nr_inodes={SCRATCH_FILES},mode=1777,{own},noexec",
    }


def arguments(folder: Path, root: Root, launcher: Path, ready: int) -> list[str]:
    """Bubblewrap's command line. `ready` is the descriptor on which the launcher reports."""
    given = ["bwrap", *(f"--unshare-{name}" for name in NAMESPACES)]
    given += [
        "--die-with-parent",
        "--new-session",
        "--hostname",
        "sandbox",
        "--clearenv",
        "--cap-drop",
        "ALL",
    ]
    for right in RIGHTS_OF_LAUNCHER:
        given += ["--cap-add", right]
    for path in (Path("/usr"), *(reversed(root.prefix.parents) if root.prefix else ())):
        given += ["--perms", "0755", "--dir", str(path)]  # or only root could pass
    for path in SYSTEM:
        given += ["--ro-bind-try", path, path]
        given += ["--symlink", path[1:], f"/{path.rpartition('/')[2]}"]
    if root.prefix is not None:
        given += ["--ro-bind", str(root.prefix), str(root.prefix)]
    given += ["--ro-bind", str(root.packages), "/packages", "--ro-bind", str(launcher), "/launch.py"]
    given += ["--proc", "/proc", "--dev", "/dev"]
    for path in filter(os.path.exists, MASKED):
        empty = ["--tmpfs", path, "--remount-ro", path]
        given += empty if os.path.isdir(path) else ["--ro-bind", "/dev/null", path]  # noqa: PTH112
    for name, target in (("out", "/out"), ("tmp", "/tmp"), ("shm", "/dev/shm")):  # noqa: S108  inside
        given += ["--bind", str(folder / name), target]
    given += ["--ro-bind", str(folder / "etc"), "/etc"]
    given += ["--ro-bind", str(folder / "in"), "/in", "--remount-ro", "/dev", "--remount-ro", "/"]
    return [*given, "--chdir", "/", "--", root.interpreter, "-I", "-S", "-B", "/launch.py", str(ready)]


def order(
    run_id: str,
    root: Root,
    instructions: bytes,
    limits: ResourceLimits,
    command: tuple[str, ...] = HARNESS_COMMAND,
) -> bytes:
    """What the launcher reads."""
    environment = dict(item.split("=", 1) for item in ENVIRONMENT)
    environment["PYTHONPATH"] = "/packages"
    environment["PATH"] = f"{root.interpreter.rpartition('/')[0]}:/usr/bin:/bin"
    return json.dumps(
        {
            "uid": names(run_id).uid,
            "limits": {
                "core": 0, "fsize": limits.output_mb * 2**20, "memlock": 0, "msgqueue": 0, "nofile": OPEN_FILES,
            },
            "filter": instructions.hex(),
            "argv": [root.interpreter, *command[1:]],
            "environment": environment,
        }
    ).encode()  # fmt: skip


def group_limits(limits: ResourceLimits) -> GroupLimits:
    return GroupLimits(memory_mb(limits) * 2**20, limits.processes + OWN_PROCESSES, limits.cpus)


def digest(root: Root, launcher: bytes, instructions: bytes) -> str:
    """SHA-256 of the whole policy, for a fixed job; the root has its own in `Isolation.image`."""
    limits = ResourceLimits(seconds=1, memory_mb=64, cpus=1, processes=8, output_mb=1)
    here = Root("-", root.interpreter, root.prefix, Path("/packages"))
    return digest_of(
        {
            "command": list[JsonValue](arguments(Path("/run"), here, Path("/launch.py"), 3)),
            "order": json.loads(order("reference", root, instructions, limits)),
            "launcher": sha256(launcher),
            "etc": {name: sha256(data) for name, data in ETC.items()},
            "mounts": dict[str, JsonValue](mounts("reference", 1, limits)),
            "group": list[JsonValue](group_limits(limits)),
        }
    )
