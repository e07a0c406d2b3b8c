"""The policy of the Docker sandbox: what is asked of the engine, and what must be read back.

A container and two volumes for each worker of a run, and one *holder* for all, which
sleeps and keeps the volumes alive. `/in` and `/out` are tmpfs volumes, since only these
have a quota in bytes and files on every storage driver, and their content can be read
after the container that executed has died. Workers share nothing but the holder, which
runs nothing of theirs.

All containers start at once, and what executes waits for `/in/.ready`, which comes last
with its inputs and only when the holder runs. Its time, and the deadline inside, begin there.

Memory: the run container gets `memory_mb + output_mb + SCRATCH_MB`. What lies in
`/out`, `/tmp` and `/dev/shm` is memory too and counts against it, so `memory_mb`
is what the processes have left when all three are full.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autoresearch.errors import SandboxFailed
from autoresearch.jobs import MOST_FILES
from autoresearch.records import ResourceLimits, digest_of

LABEL = "autoresearch.run"
SECONDS_LABEL = "autoresearch.seconds"
PURPOSE_LABEL = "autoresearch.part"
WORKER_LABEL = "autoresearch.worker"
WORKERS_LABEL = "autoresearch.workers"

READY = ".ready"
"""Last of the inputs, made when the trials may begin: its time is when they did."""
READY_SECONDS = 300
"""How long a container waits for it before it gives up."""

TMP_MB = 32
SHM_MB = 32
SCRATCH_MB = TMP_MB + SHM_MB
SCRATCH_FILES = 4096
OPEN_FILES = 1024
"""File descriptors of one process."""
HOLDER_MB = 64
HOLDER_SPARE_SECONDS = 7 * 24 * 3600
"""How long outputs wait for somebody to collect them, after the run's own limit."""
BACKUP_SECONDS = 1
"""The deadline inside comes this much after the one outside, which it stands in for."""

HARNESS_COMMAND = ("python3", "-s", "-P", "-B", "/in/harness.py", "/in", "/out")

ENVIRONMENT = (
    "HOME=/tmp",
    "LANG=C.UTF-8",
    "MKL_NUM_THREADS=1",
    "MPLCONFIGDIR=/tmp",
    "NUMEXPR_NUM_THREADS=1",
    "OMP_NUM_THREADS=1",
    "OPENBLAS_NUM_THREADS=1",
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "PYTHONHASHSEED=0",
    "PYTHONUNBUFFERED=1",
)

MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/pressure", "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger",
    "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")

AWAIT_READY = f"""
import os, sys, time
give_up = time.monotonic() + {READY_SECONDS}
while not os.path.exists("/in/{READY}"):
    if time.monotonic() > give_up:
        sys.exit("no input came")
    time.sleep(0.005)
os.execvp(sys.argv[1], sys.argv[1:])
"""

FIRST_UID = 0x70000000
"""Start of a range that no distribution, container runtime or systemd hands out; it ends at 2**31."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Runtime:
    """What the engine starts the run container with, and what it takes for itself."""

    tier: Literal["docker", "gvisor"]
    name: str
    """As registered with the engine."""
    own_mb: int = 0
    """Memory that it needs beside the processes it runs; on top of the limit."""
    own_threads: int = 0
    threads_each: int = 1
    """Threads on the host, for itself and for every process inside."""
    deadline: tuple[str, ...] = ("timeout", "-s", "KILL")
    """Process 1: runs a command for so many seconds. From inside it cannot be kept from ending it."""


OWN_DEADLINE = """
import ctypes, os, signal, struct, sys
libc, timer = ctypes.CDLL(None), ctypes.c_void_p()
event = struct.pack("qii48x", 0, signal.SIGKILL, 0)
if libc.timer_create(1, event, ctypes.byref(timer)):
    sys.exit("no deadline can be set")
if libc.timer_settime(timer, 0, struct.pack("4q", 0, 0, int(sys.argv[1]), 0), None):
    sys.exit("no deadline can be set")
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
ended, status = os.wait()
while ended != child:
    ended, status = os.wait()
code = os.waitstatus_to_exitcode(status)
os._exit(code if code >= 0 else 128 - code)
"""
"""Instead of the image's `timeout`, which nobody may read: gVisor does not run such a file.

In gVisor process 1 can be killed and stopped from inside. Killed, it takes everything along; the
kernel's own timer with SIGKILL ends it when it is stopped.
"""

RUNC = Runtime("docker", "runc")
RUNSC = Runtime(
    "gvisor",
    "runsc",
    own_mb=64,
    own_threads=96,
    threads_each=8,
    deadline=("python3", "-I", "-S", "-B", "-c", OWN_DEADLINE),
)
"""gVisor's kernel is a process of the host in the container's control group: seen were 22 MB and
52 threads for itself, and 5.3 threads and 5 MB for a process inside."""


@dataclass(frozen=True)
class Worker:
    """One of those that share a run's trials."""

    number: int = 0
    of: int = 1

    def mounted(self, path: str) -> str:
        """Where the holder has this worker's `/in` or `/out`."""
        return f"{path}-{self.number}" if self.number else path


ONLY = Worker()


@dataclass(frozen=True)
class Names:
    """What belongs to one worker of a run, found again from the run's id and its number."""

    run: str
    holder: str
    inputs: str
    outputs: str
    uid: int
    """Of the code. The kernel counts some resources per uid over the whole host, so no two share one."""

    @property
    def holder_uid(self) -> int:
        return self.uid + 1


def names(run_id: str, worker: Worker = ONLY) -> Names:
    run = f"autoresearch-{run_id}"
    own = f"{run}-w{worker.number}" if worker.number else run
    drawn = int.from_bytes(hashlib.sha256(own.removeprefix("autoresearch-").encode()).digest()[:4], "big")
    return Names(own, f"{run}-holder", f"{own}-in", f"{own}-out", FIRST_UID + 2 * (drawn % 2**27))


def workers(count: int) -> list[Worker]:
    return [Worker(number, count) for number in range(count)]


def memory_mb(limits: ResourceLimits, runtime: Runtime = RUNC) -> int:
    """Memory of one worker's container, its file systems included."""
    return limits.memory_mb + limits.output_mb + SCRATCH_MB + runtime.own_mb


def labels(run_id: str, part: str, limits: ResourceLimits, worker: Worker) -> dict[str, str]:
    return {
        LABEL: run_id,
        PURPOSE_LABEL: part,
        SECONDS_LABEL: str(limits.seconds),
        WORKER_LABEL: str(worker.number),
        WORKERS_LABEL: str(worker.of),
    }


def input_volume(
    run_id: str, files: Mapping[str, bytes], limits: ResourceLimits, worker: Worker = ONLY
) -> Json:
    """Root's, readable by all; as large as its content, rounded up."""
    megabytes = 1 + sum(-(-len(data) // 4096) * 4096 for data in files.values()) // 2**20
    inodes = 64 + 8 * len(files)  # `READY` is one of them
    options = f"size={megabytes}m,nr_inodes={inodes},uid=0,gid=0,mode=0755"
    return _volume(names(run_id, worker).inputs, options, labels(run_id, "in", limits, worker))


def output_volume(run_id: str, limits: ResourceLimits, worker: Worker = ONLY) -> Json:
    uid = names(run_id, worker).uid
    options = f"size={limits.output_mb}m,nr_inodes={MOST_FILES},uid={uid},gid={uid},mode=0700"
    return _volume(names(run_id, worker).outputs, options, labels(run_id, "out", limits, worker))


def _volume(name: str, options: str, own_labels: dict[str, str]) -> Json:
    # Device files and set-user-id programs mean nothing on them.
    mount = {"type": "tmpfs", "device": "tmpfs", "o": f"{options},nosuid,nodev"}
    return {"Name": name, "Driver": "local", "DriverOpts": mount, "Labels": own_labels}


def run_config(
    run_id: str,
    image: str,
    seccomp: str,
    limits: ResourceLimits,
    *,
    command: tuple[str, ...] = HARNESS_COMMAND,
    runtime: Runtime = RUNC,
    worker: Worker = ONLY,
    data: Mapping[str, str] | None = None,
) -> Json:
    """The create request of a worker's container. `data`: name below `/data` → place in the store."""
    own = names(run_id, worker)
    seccomp = seccomp_with_gpus(seccomp) if limits.gpus else seccomp
    # What waits becomes process 1 of the deadline: there is never another one.
    wait = ("python3", "-I", "-S", "-B", "-c", AWAIT_READY)
    deadline = (*runtime.deadline, str(limits.seconds + BACKUP_SECONDS))
    config = _config(image, own.uid, [*wait, *deadline, *command], labels(run_id, "run", limits, worker))
    config["HostConfig"] = {
        **_host_config(
            seccomp if runtime is RUNC else seccomp_of_gvisor(seccomp),
            memory_mb(limits, runtime),
            runtime.own_threads + runtime.threads_each * limits.processes,
            limits.cpus,
        ),
        "Runtime": runtime.name,
        "DeviceRequests": device_requests(limits.gpus),
        "Ulimits": _ulimits(limits.output_mb * 2**20, None if runtime is RUNC else limits.processes),
        "Tmpfs": {
            "/tmp": _scratch(TMP_MB, own.uid),  # noqa: S108  the container's
            "/dev/shm": _scratch(SHM_MB, own.uid),  # noqa: S108
        },
        "Mounts": [
            _mount(own.inputs, "/in", read_only=True),
            _mount(own.outputs, "/out", read_only=False),
            *(_bind(place, f"/data/{name}") for name, place in sorted((data or {}).items())),
        ],
    }
    return config


def holder_config(run_id: str, image: str, seccomp: str, limits: ResourceLimits, count: int = 1) -> Json:
    """The create request of the holder, which runs nothing but `sleep`, for `count` workers."""
    own = names(run_id)
    command = ["sleep", str(limits.seconds + HOLDER_SPARE_SECONDS)]
    config = _config(image, own.holder_uid, command, labels(run_id, "holder", limits, Worker(of=count)))
    mounts = [
        _mount(volume, worker.mounted(path), read_only=False)
        for worker in workers(count)
        for volume, path in (
            (names(run_id, worker).inputs, "/in"),
            (names(run_id, worker).outputs, "/out"),
        )
    ]
    config["HostConfig"] = {
        **_host_config(seccomp, HOLDER_MB, 8, 0.1),
        "Ulimits": _ulimits(0),
        "Tmpfs": {"/dev/shm": _scratch(1, own.holder_uid)},  # noqa: S108
        "Mounts": mounts,
    }
    return config


def _config(image: str, uid: int, command: list[str], own_labels: dict[str, str]) -> Json:
    return {
        "Image": image,
        "Entrypoint": [],
        "Cmd": command,
        "User": f"{uid}:{uid}",
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Env": list(ENVIRONMENT),
        "Labels": own_labels,
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "NetworkDisabled": True,
        "StopSignal": "SIGKILL",
        "Healthcheck": dict(NO_HEALTHCHECK),  # an image may bring one, and the engine would run it
    }


def _host_config(seccomp: str, megabytes: int, processes: int, cpus: float) -> Json:
    memory = megabytes * 2**20
    return {
        "AutoRemove": False,
        "CapDrop": ["ALL"],
        "Dns": ["127.0.0.1"],  # the host's resolvers would show in /etc/resolv.conf
        "Init": False,
        "IpcMode": "private",
        "LogConfig": {"Type": "none", "Config": {}},
        "MaskedPaths": list(MASKED),
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": round(cpus * 1e9),
        "NetworkMode": "none",
        "PidsLimit": processes,
        "Privileged": False,
        "ReadonlyPaths": list(READ_ONLY),
        "ReadonlyRootfs": True,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Runtime": "runc",
        "ShmSize": SHM_MB * 2**20,
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
    }


def device_requests(gpus: int) -> list[Json]:
    """Whole NVIDIA devices, picked by the engine."""
    if not gpus:
        return []
    asked = {"Driver": "nvidia", "Count": gpus, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
    return [asked]


def _ulimits(file_bytes: int, processes: int | None = None) -> list[Json]:
    hard = {"core": 0, "fsize": file_bytes, "memlock": 0, "msgqueue": 0, "nofile": OPEN_FILES}
    if processes is not None:
        # Linux counts this per uid over the whole host, so only where the kernel is the run's own.
        hard["nproc"] = processes
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in hard.items()]


def _scratch(megabytes: int, uid: int) -> str:
    size = f"size={megabytes}m,nr_inodes={SCRATCH_FILES}"
    return f"rw,noexec,nosuid,nodev,{size},uid={uid},gid={uid},mode=1777"


def _mount(volume: str, target: str, *, read_only: bool) -> Json:
    mount = {"Type": "volume", "Source": volume, "Target": target, "VolumeOptions": {"NoCopy": True}}
    return {**mount, "ReadOnly": True} if read_only else mount


def seccomp_of_gvisor(seccomp: str) -> str:
    """The profile as gVisor's own kernel is to apply it to the code inside (`--oci-seccomp`).

    It cannot answer ENOSYS (EPERM comes instead, and the C library then makes no thread), so clone3
    is let through: what namespaces it makes are that kernel's, not the host's.
    """
    profile = json.loads(seccomp)
    for rule in profile.get("syscalls", []):
        if rule["names"] == ["clone3"]:
            rule["action"] = "SCMP_ACT_ALLOW"
            rule.pop("errnoRet", None)
    return json.dumps(profile, separators=(",", ":"))


def seccomp_with_gpus(seccomp: str) -> str:
    """The profile with the `ioctl` calls that NVIDIA's driver is used through, for runs with GPUs only."""
    profile = json.loads(seccomp)
    profile.setdefault("syscalls", []).extend(
        {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [argument]} for argument in GPU_IOCTLS
    )
    return json.dumps(profile, separators=(",", ":"))


def _ioctl(mask: int, request: int) -> Json:
    # With MASKED_EQ, `value` is the mask and `valueTwo` what has to remain.
    return {"index": 1, "value": mask, "valueTwo": request, "op": "SCMP_CMP_MASKED_EQ"}


GPU_IOCTLS = (
    _ioctl(0xFF00, ord("F") << 8),  # the control devices: requests of the type F
    _ioctl(0xFFFFFF00, 0),  # unified memory: its requests are plain numbers,
    _ioctl(0xFFFFFFFC, 0x30000000),  # and two to begin and end with
)


def _bind(place: str, target: str) -> Json:
    """The only directories of the host that a run sees: the store's, read-only, and nothing mounted below."""
    options = {"Propagation": "rprivate", "NonRecursive": True}
    return {"Type": "bind", "Source": place, "Target": target, "ReadOnly": True, "BindOptions": options}


def digest(seccomp: bytes, runtime: Runtime = RUNC) -> str:
    """SHA-256 of the whole policy: the requests for a fixed job, and the seccomp profile.

    What varies between jobs are limits, image and names; an approval binds those by themselves.
    """
    limits = ResourceLimits(seconds=1, memory_mb=64, cpus=1, processes=8, output_mb=1)
    gpus: Json = {"request": device_requests(1), "ioctl": list(GPU_IOCTLS)}
    return digest_of(
        {
            "run": run_config("reference", "-", "{}", limits, runtime=runtime),
            "holder": holder_config("reference", "-", "-", limits, count=2),
            "in": input_volume("reference", {}, limits),
            "out": output_volume("reference", limits),
            "gpus": gpus,
            "seccomp": json.loads(seccomp if runtime is RUNC else seccomp_of_gvisor(seccomp.decode())),
        }
    )


# ------------------------------------------------------------------ read back

NO_HEALTHCHECK = {"Test": ["NONE"]}
EMPTY: tuple[object, ...] = (None, False, 0, "", [], {}, [0, 0])
"""What an engine reports for a setting that is off."""
HARMLESS = {"CgroupnsMode": ("private", "host"), "Isolation": ("default",)}
"""What settings that nobody asked for may be besides off: these differ between engines."""


def require_policy(asked: Json, found: Json, image_env: list[str]) -> None:
    """Raise SandboxFailed unless the created container is what was asked for, and nothing more.

    `found` is what the engine's inspect reports. A setting that was not asked for
    must be off, whatever its name: an engine that adds something is refused.
    """
    differing = [
        *_different(asked["HostConfig"], found["HostConfig"], ""),
        *_different(
            {k: v for k, v in asked.items() if k != "HostConfig"}, found["Config"], "Config.", ours=False
        ),
        *_unasked(asked["HostConfig"], found["HostConfig"]),
        *_different_mounts(asked, found),
        *_different_env(asked, found, image_env),
    ]
    # The engine adds the times of the image's own check to one that is off.
    if (found["Config"].get("Healthcheck") or {}).get("Test") != NO_HEALTHCHECK["Test"]:
        differing.append(f"Healthcheck is {_shown(found['Config'].get('Healthcheck'))}")
    if found["Image"] != asked["Image"]:
        differing.append(f"Image is {found['Image']}")
    if differing:
        raise SandboxFailed(
            "the engine did not create the container that was asked for, so nothing was started: "
            + "; ".join(differing)
        )


def _different(asked: Json, found: Json, prefix: str, *, ours: bool = True) -> list[str]:
    skipped = set() if ours else {"Env", "Image", "NetworkDisabled", "Labels", "Healthcheck"}
    return [
        f"{prefix}{key} is {_shown(found.get(key))}"
        for key, value in asked.items()
        if key not in skipped and not _same(value, found.get(key))
    ]


def _same(asked: object, found: object) -> bool:
    if asked in EMPTY:
        return found in EMPTY
    if isinstance(asked, list) and isinstance(found, list):
        return sorted(map(_key, asked)) == sorted(map(_key, found))
    return asked == found


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _unasked(asked: Json, found: Json) -> list[str]:
    return [
        f"{key} is {_shown(value)}"
        for key, value in found.items()
        if key not in asked and value not in (*EMPTY, *HARMLESS.get(key, ()))
    ]


def _different_mounts(asked: Json, found: Json) -> list[str]:
    volumes = [m for m in asked["HostConfig"]["Mounts"] if m["Type"] == "volume"]
    wanted = {(m["Source"], m["Target"], not m.get("ReadOnly")) for m in volumes}
    there = {(m.get("Name"), m["Destination"], m["RW"]) for m in found["Mounts"] if m["Type"] == "volume"}
    binds = {(m["Source"], m["Target"]) for m in asked["HostConfig"]["Mounts"] if m["Type"] == "bind"}
    # Engines list the tmpfs mounts here or only in HostConfig.Tmpfs, which is compared above.
    others = [
        m["Destination"]
        for m in found["Mounts"]
        if m["Type"] not in ("volume", "tmpfs")
        and not (m["Type"] == "bind" and not m["RW"] and (m.get("Source"), m["Destination"]) in binds)
    ]
    given = {(m.get("Source"), m["Destination"]) for m in found["Mounts"] if m["Type"] == "bind"}
    others += [target for _, target in binds - given]
    return [f"a mount on {path}" for path in others] + (
        [] if wanted == there else [f"volumes are {_shown(sorted(map(str, there)))}"]
    )


def _different_env(asked: Json, found: Json, image_env: list[str]) -> list[str]:
    """The environment is ours plus what the image sets; names only, since values may be secret."""
    ours = {item.split("=")[0] for item in asked["Env"]}
    expected = {*asked["Env"], *(item for item in image_env if item.split("=")[0] not in ours)}
    there = set(found["Config"].get("Env") or [])
    return [f"environment differs in {item.split('=')[0]}" for item in sorted(expected ^ there)]


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:120] + "…"
