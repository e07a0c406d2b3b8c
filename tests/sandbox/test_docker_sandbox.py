"""The Docker sandbox on a real engine: what is asked of it, what it refuses, and what comes out."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from copy import deepcopy

import pytest
import requests

from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters.docker_sandbox import DockerSandbox
from autoresearch.adapters.sandbox_probe import probe
from autoresearch.errors import BackEndMissing, InvalidInput, NotApproved, SandboxFailed
from autoresearch.records import ResourceLimits
from autoresearch.testing import approved_job, await_end, check_sandbox, collected

pytestmark = pytest.mark.docker

SMALL = ResourceLimits(seconds=20, memory_mb=128, cpus=2, processes=32, output_mb=2)
ONE_SECOND = SMALL.model_copy(update={"seconds": 1})
NOTHING = "def run_trial(arm, seed, config, data):\n    return {'x': seed}\n"
SLEEPS = "import time\ndef run_trial(arm, seed, config, data):\n    time.sleep(60)\n"


@pytest.fixture(scope="module")
def client():
    from autoresearch.adapters import engine

    with closing(engine.connect()) as connected:
        yield connected.api


@pytest.fixture(scope="module")
def created(client, image_id, seccomp):
    """A run container that was created, never started: what was asked, what inspect reports, the image's env."""
    run_id = f"t{os.getpid()}-inspect"
    asked = policy.run_config(run_id, image_id, seccomp.decode(), SMALL)
    name = client.create_container_from_config(asked, policy.names(run_id).run)["Id"]
    env = client.inspect_image(image_id)["Config"]["Env"] or []
    yield asked, client.inspect_container(name), env
    client.remove_container(name)
    for volume in client.volumes(filters={"name": f"autoresearch-{run_id}"})["Volumes"]:
        client.remove_volume(volume["Name"])


@pytest.fixture
def own(docker_sandbox):
    """Run ids that no other test session uses; what bears one is removed at the end of the test."""
    given = []

    def run_id(name):
        given.append(f"t{os.getpid()}-{name}")
        return given[-1]

    yield run_id
    for taken in given:
        docker_sandbox().remove(taken)


class Tampering:
    """The engine's client, changed in one answer or request."""

    def __init__(self, client, **changed):
        self._client = client
        self._changed = changed

    def __getattr__(self, name):
        return self._changed.get(name) or getattr(self._client, name)


def left_behind(client, run_id):
    mine = {"label": f"{policy.LABEL}={run_id}"}
    return client.containers(all=True, filters=mine) + (client.volumes(filters=mine)["Volumes"] or [])


def lines(got):
    return [json.loads(line) for line in got.files["trials.jsonl"].splitlines()]


# ------------------------------------------------------------ life and policy


def test_docker_conforms(docker_sandbox):
    check_sandbox(docker_sandbox)


def test_container_as_the_engine_reports_it(docker_sandbox, submit, client):
    # Written out by hand: what counts is what an engine made of the request.
    sandbox = docker_sandbox()
    job = submit(sandbox, SLEEPS, limits=SMALL)
    for name in (f"autoresearch-{job.run_id}", f"autoresearch-{job.run_id}-holder"):
        found = client.inspect_container(name)
        host, config = found["HostConfig"], found["Config"]
        assert host["NetworkMode"] == "none"
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert not host["Privileged"]
        assert not host["Binds"]
        assert not host["Devices"]
        assert not host["DeviceRequests"]
        assert not host["Init"]
        assert host["LogConfig"]["Type"] == "none"
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert any(option.startswith("seccomp={") for option in host["SecurityOpt"])
        assert host["Memory"] == host["MemorySwap"] > 0
        assert host["PidsLimit"] in (8, 32)
        assert host["Dns"] == ["127.0.0.1"]
        assert config["Tty"] is False
        assert {mount["Type"] for mount in found["Mounts"]} == {"volume"}
        uid, gid = map(int, config["User"].split(":"))
        assert 0x70000000 <= uid == gid < 2**31
    run = client.inspect_container(f"autoresearch-{job.run_id}")
    assert run["HostConfig"]["Memory"] == (128 + 2 + 64) * 2**20
    assert run["HostConfig"]["NanoCpus"] == 2_000_000_000
    assert {(m["Destination"], m["RW"]) for m in run["Mounts"]} == {("/in", False), ("/out", True)}
    limits = {u["Name"]: u["Hard"] for u in run["HostConfig"]["Ulimits"]}
    assert limits == {"core": 0, "fsize": 2 * 2**20, "memlock": 0, "msgqueue": 0, "nofile": 1024}
    # What waits for the inputs turns into the deadline, which is process 1 from then on.
    command = run["Config"]["Cmd"]
    assert command[:4] == ["python3", "-I", "-S", "-B"]
    assert "os.execvp" in command[5]
    assert command[6:10] == ["timeout", "-s", "KILL", "21"]
    assert sum(tmpfs_mb(client, run)) < 128 + 2 + 64


def tmpfs_mb(client, found):
    """Sizes of every writable file system of a container."""
    volumes = [client.inspect_volume(m["Name"])["Options"]["o"] for m in found["Mounts"]]
    options = [*volumes, *found["HostConfig"]["Tmpfs"].values()]
    assert all("nr_inodes=" in o and "nosuid" in o and "nodev" in o for o in options)
    return [int(re.search(r"size=(\d+)m", o)[1]) for o in options]


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("HostConfig", "NetworkMode", "bridge"),
        ("HostConfig", "ReadonlyRootfs", False),
        ("HostConfig", "CapDrop", []),
        ("HostConfig", "CapAdd", ["SYS_ADMIN"]),
        ("HostConfig", "Privileged", True),
        ("HostConfig", "SecurityOpt", ["no-new-privileges:true"]),
        ("HostConfig", "SecurityOpt", ["no-new-privileges:true", "seccomp=unconfined"]),
        ("HostConfig", "Memory", 0),
        ("HostConfig", "MemorySwap", -1),
        ("HostConfig", "PidsLimit", 0),
        ("HostConfig", "PidMode", "host"),
        ("HostConfig", "IpcMode", "host"),
        ("HostConfig", "UTSMode", "host"),
        ("HostConfig", "Devices", [{"PathOnHost": "/dev/kvm"}]),
        ("HostConfig", "DeviceRequests", [{"Count": -1}]),
        ("HostConfig", "Binds", ["/:/host"]),
        ("HostConfig", "Ulimits", []),
        ("HostConfig", "Runtime", "other"),
        ("HostConfig", "LogConfig", {"Type": "json-file", "Config": {}}),
        ("HostConfig", "MaskedPaths", []),
        ("HostConfig", "Init", True),
        ("HostConfig", "SomethingNew", "on"),
        ("HostConfig", "OomKillDisable", True),
        ("HostConfig", "CgroupnsMode", "container:other"),
        ("Config", "User", "0:0"),
        ("Config", "Tty", True),
        ("Config", "Cmd", ["sh"]),
        ("Config", "Env", ["SECRET=1"]),
        ("Config", "Entrypoint", ["sh"]),
        (None, "Image", "sha256:" + "1" * 64),
        (None, "Mounts", [{"Type": "bind", "Destination": "/host", "RW": True}]),
    ],
)
def test_a_container_unlike_the_policy_is_refused(created, where, key, value):
    asked, found, env = deepcopy(created)
    (found[where] if where else found)[key] = value
    with pytest.raises(
        SandboxFailed, match=f"did not create the container.*({key}|volumes|environment|a mount)"
    ):
        policy.require_policy(asked, found, env)


def test_a_container_like_the_policy_is_admitted(created):
    policy.require_policy(*created)
    asked, found, env = created
    for of_an_engine in ({"CgroupnsMode": "private"}, {"CgroupnsMode": "host"}, {"OomKillDisable": None}):
        policy.require_policy(asked, {**found, "HostConfig": found["HostConfig"] | of_an_engine}, env)


@pytest.mark.parametrize("container", ["holder", "run"])
def test_an_engine_that_adds_a_right_starts_nothing(docker_sandbox, own, client, container):
    started = []

    def create(config, name):
        host = config["HostConfig"]
        if name.endswith("-holder") == (container == "holder"):
            host = {**host, "CapAdd": ["NET_RAW"]}
        return client.create_container_from_config({**config, "HostConfig": host}, name)

    def start(name):
        started.append(name)
        client.start(name)

    sandbox = docker_sandbox(client=Tampering(client, create_container_from_config=create, start=start))
    job, warrant = approved_job(
        {"experiment/experiment.py": NOTHING.encode()}, sandbox.isolation(), run_id=own("adds"), limits=SMALL
    )
    with pytest.raises(SandboxFailed, match="CapAdd"):
        sandbox.submit(job, warrant)
    assert f"autoresearch-{own('adds')}" not in started
    assert container != "holder" or started == []
    assert left_behind(client, own("adds")) == []


def test_a_laxer_profile_is_another_policy(docker_sandbox, own, seccomp):
    profile = json.loads(seccomp)
    profile["syscalls"][0]["names"].append("ptrace")
    lax = docker_sandbox(seccomp=json.dumps(profile).encode())
    strict = docker_sandbox(seccomp=json.dumps(json.loads(seccomp)).encode())
    assert lax.isolation().policy_sha256 != docker_sandbox().isolation().policy_sha256
    assert strict.isolation().policy_sha256 == docker_sandbox().isolation().policy_sha256
    files = {"experiment/experiment.py": NOTHING.encode()}
    job, warrant = approved_job(files, strict.isolation(), run_id=own("lax"))
    with pytest.raises(NotApproved, match="policy_sha256"):
        lax.submit(job, warrant)


def test_profile_knows_three_families_and_two_protocols(seccomp):
    rules = [rule for rule in json.loads(seccomp)["syscalls"] if rule["names"] == ["socket"]]
    allowed = sorted(
        [arg["value"] for arg in sorted(rule["args"], key=lambda a: a["index"])] for rule in rules
    )
    unix, inet, inet6 = 1, 2, 10
    assert allowed == [[unix], *([family, n] for family in (inet, inet6) for n in (0, 6, 17))]
    assert all(arg["op"] == "SCMP_CMP_EQ" for rule in rules for arg in rule["args"])


def test_profile_names_two_architectures_and_no_way_out(seccomp):
    profile = json.loads(seccomp)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["archMap"] == [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
    ]
    names = profile["syscalls"][0]["names"]
    assert names == sorted(set(names))
    closed = (
        "add_key bpf clone3 fsopen init_module io_uring_setup ioctl kexec_load keyctl mount move_mount name_to_handle_at "
        "open_by_handle_at perf_event_open pivot_root process_vm_readv ptrace setns socket unshare userfaultfd"
    )
    assert not set(closed.split()) & set(names)


# ------------------------------------------------------------- from the inside

ATTEMPTS = '''
import ctypes, errno, mmap, os, socket

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """The error number, or 0 if it worked."""
    return ctypes.get_errno() if libc.syscall(number, *map(ctypes.c_long, arguments)) < 0 else 0


def error_of(act, *arguments):
    try:
        act(*arguments)
    except OSError as error:
        return error.errno
    return 0


def thirty_two_bit():
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def run_trial(arm, seed, config, data):
    if arm == "thirty-two":
        thirty_two_bit()
    return {
        "vsock": error_of(socket.socket, 40, socket.SOCK_STREAM),
        "packet": error_of(socket.socket, 17, socket.SOCK_RAW),
        "netlink": error_of(socket.socket, 16, socket.SOCK_RAW),
        "alg": error_of(socket.socket, 38, socket.SOCK_SEQPACKET),
        "route": error_of(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ("192.0.2.1", 9)),
        "ptrace": call(101, 0, 0, 0, 0),
        "unshare": call(272, 0x10000000),
        "userns_clone": call(56, 0x10000000 | 17, 0, 0, 0, 0),
        "clone3": call(435, 0, 0),
        "io_uring": call(425, 1, 0),
        "keyctl": call(250, 0, 0, 0),
        "bpf": call(321, 0, 0, 0),
        "perf": call(298, 0, 0, 0, 0, 0),
        "userfaultfd": call(323, 0),
        "by_handle": call(304, 0, 0, 0),
        "mount": call(165, 0, 0, 0, 0, 0),
        "write_in": error_of(os.open, "/in/x", os.O_CREAT | os.O_WRONLY),
        "write_code": error_of(os.open, "/in/experiment/experiment.py", os.O_WRONLY),
        "write_root": error_of(os.open, "/x", os.O_CREAT | os.O_WRONLY),
        "shadow": error_of(os.open, "/etc/shadow", os.O_RDONLY),
        "uid": os.getuid(),
        "groups": len(set(os.getgroups()) - {os.getgid()}),
        "environment": sum("CANARY" in value or "proxy" in name.lower() for name, value in os.environ.items()),
        "nameservers": open("/etc/resolv.conf").read().count("nameserver")
        - open("/etc/resolv.conf").read().count("nameserver 127.0.0.1"),
    }
'''


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86_64")
def test_attempts_from_inside_are_refused(docker_sandbox, run, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "SECRET-CANARY")
    monkeypatch.setenv("HTTP_PROXY", "http://CANARY.invalid:1")
    got = run(docker_sandbox(), ATTEMPTS, limits=SMALL, arms=("attempts", "thirty-two"), trials_per_arm=1)
    found = {line["arm"]: line for line in lines(got)}
    assert "killed by signal 31" in found["thirty-two"]["error"]  # SIGSYS
    values = {**found["attempts"]["values"]}
    assert values.pop("uid") >= 0x70000000
    assert [values.pop(name) for name in ("groups", "environment", "nameservers")] == [0, 0, 0]
    eperm, eacces, erofs, enosys, enetunreach = 1, 13, 30, 38, 101
    assert values.pop("clone3") == enosys
    assert values.pop("route") == enetunreach
    assert values.pop("shadow") in (eacces, 2)  # not readable, or not there
    for name in ("write_in", "write_code", "write_root"):
        assert values.pop(name) in (erofs, eacces), name
    assert values.pop("io_uring") in (eperm, enosys)
    assert {name: error for name, error in values.items() if error != eperm} == {}


def test_numpy_and_processes_work(docker_sandbox, run):
    code = """
import multiprocessing, subprocess, sys, threading
import numpy as np
import scipy.optimize
from multiprocessing.shared_memory import SharedMemory
from sklearn.linear_model import LogisticRegression

def square(x):
    return x * x

def run_trial(arm, seed, config, data):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(80, 80))
    u, s, v = np.linalg.svd(a)
    with multiprocessing.get_context(arm).Pool(2) as pool:
        squares = pool.map(square, range(4))
    block = SharedMemory(create=True, size=2**20)
    block.close()
    block.unlink()
    thread = threading.Thread(target=square, args=(1,))
    thread.start()
    thread.join()
    model = LogisticRegression().fit(a[:, :3], np.arange(80) % 2)
    return {"residual": float(np.abs(u * s @ v - a).max()), "squares": squares,
            "child": int(subprocess.run([sys.executable, "-c", "print(7)"], capture_output=True).stdout),
            "minimum": scipy.optimize.minimize(lambda x: (x - 3) ** 2, 0.0).x, "classes": model.classes_}
"""
    limits = ResourceLimits(seconds=60, memory_mb=768, cpus=2, processes=64, output_mb=2)
    got = run(docker_sandbox(), code, limits=limits, arms=("fork", "spawn"), trials_per_arm=1)
    for line in lines(got):
        assert line["status"] == "ok", line["error"]
        assert line["values"]["residual"] < 1e-10
        assert line["values"]["squares"] == [0, 1, 4, 9]
        assert line["values"]["child"] == 7
        assert line["values"]["minimum"] == [pytest.approx(3, abs=1e-4)]


def test_probe_finds_every_limit_in_force(docker_sandbox):
    rows = probe(docker_sandbox()).rows
    assert [row.name for row in rows if not row.ok] == []
    assert {"memory", "processes", "network", "vsock", "io_uring", "write-outside", "disk", "time"} <= {
        row.name for row in rows
    }


def test_probe_finds_a_profile_that_lets_all_pass(docker_sandbox):
    rows = {
        row.name: row for row in probe(docker_sandbox(seccomp=b'{"defaultAction": "SCMP_ACT_ALLOW"}')).rows
    }
    assert not rows["vsock"].ok
    assert not rows["io_uring"].ok
    assert rows["network"].ok


# ----------------------------------------------------------------- the limits


def test_each_run_has_a_uid_of_its_own():
    uids = [uid for n in range(2000) for uid in (policy.names(f"r{n}").uid, policy.names(f"r{n}").holder_uid)]
    assert len(set(uids)) >= len(uids) - 2
    assert policy.names("r1") == policy.names("r1")
    assert all(0x70000000 <= uid < 2**31 for uid in uids)


def test_deadline_kills_what_ignores_every_signal(docker_sandbox, run):
    code = """
import signal

def run_trial(arm, seed, config, data):
    if arm == "control":
        return {"x": 1}
    for number in set(range(1, 65)) - {9, 19, 32, 33}:
        signal.signal(number, signal.SIG_IGN)
    print("ignoring", flush=True)
    while True:
        pass
"""
    began = time.monotonic()
    got = run(docker_sandbox(), code, limits=ONE_SECOND, trials_per_arm=1)
    assert time.monotonic() - began < 6
    assert (got.facts.timed_out, got.facts.exit_code, got.facts.out_of_memory) == (True, 137, False)
    # Ended from outside: the deadline inside would have come a second later.
    assert 1 <= got.facts.wall_seconds < 1 + policy.BACKUP_SECONDS
    assert [line["arm"] for line in lines(got)] == ["control"]


def test_a_run_that_ends_in_time_is_not_timed_out(docker_sandbox, run):
    got = run(docker_sandbox(), NOTHING, limits=SMALL)
    assert (got.facts.timed_out, got.facts.exit_code, got.facts.out_of_memory) == (False, 0, False)
    assert got.facts.started_at < got.facts.ended_at
    assert got.facts.wall_seconds == pytest.approx(
        (got.facts.ended_at - got.facts.started_at).total_seconds()
    )


def test_use_is_measured_from_outside(docker_sandbox, run):
    code = """
import time

def run_trial(arm, seed, config, data):
    block = b"x" * (60 * 2**20)
    end = time.process_time() + 0.7
    while time.process_time() < end:
        pass
    time.sleep(1.2)
    return {"x": len(block)}
"""
    patient = SMALL.model_copy(update={"seconds": 120})
    got = run(docker_sandbox(), code, limits=patient, trials_per_arm=1)
    assert got.facts.exit_code == 0
    assert 1.0 < got.facts.cpu_seconds < 4
    assert 100 < got.facts.peak_memory_mb < 194


@pytest.mark.parametrize("hidden", [False, True])
def test_out_of_memory_is_seen_even_behind_exit_0(docker_sandbox, run, hidden):
    code = f"""
import os

def eat():
    return len(b"x" * 2**30)

def run_trial(arm, seed, config, data):
    if arm == "treatment":
        if {hidden}:
            child = os.fork()
            if child == 0:
                eat()
                os._exit(0)
            os.waitpid(child, 0)
        else:
            eat()
    return {{"x": 1}}
"""
    got = run(docker_sandbox(), code, limits=SMALL, trials_per_arm=1)
    assert got.facts.out_of_memory is True
    assert got.facts.exit_code == (0 if hidden else 10)
    assert [line["status"] for line in lines(got) if line["arm"] == "control"] == ["ok"]


def test_hostile_outputs_are_left_behind(docker_sandbox, run):
    code = """
import os, socket

def run_trial(arm, seed, config, data):
    if arm == "treatment":
        return {"x": 1}
    open("plain.txt", "w").write("kept")
    os.symlink("/etc/passwd", "link")
    os.link("plain.txt", "second")
    os.mkdir(".git")
    open(".git/config", "w").write("[core] fsmonitor = evil")
    open("night \\u202e.txt", "w").write("x")
    socket.socket(socket.AF_UNIX).bind("socket")
    for act in (os.mkfifo, os.mknod):
        try:
            act("odd")
        except PermissionError:
            pass
    open("/out/verdict", "w").write("approved")
    return {"x": 1}
"""
    got = run(docker_sandbox(), code, limits=SMALL, trials_per_arm=1)
    assert set(got.files) in ({"trials.jsonl", "artifacts/plain.txt"}, {"trials.jsonl", "artifacts/second"})
    assert not got.facts.output_truncated
    assert all(line.isascii() and line.isprintable() for line in got.refused)


@pytest.mark.parametrize(("sparse", "truncated"), [(1, False), (4, True)])
def test_outputs_stop_at_their_limit(docker_sandbox, run, sparse, truncated):
    code = f"""
def run_trial(arm, seed, config, data):
    for n in range({sparse}):
        with open(f"sparse{{n}}-{{arm}}", "wb") as file:
            file.truncate(2**20 - 4096)
    try:
        with open("big", "wb") as file:
            file.truncate(2**30)
    except OSError:
        return {{"refused": 1}}
"""
    got = run(docker_sandbox(), code, limits=SMALL, trials_per_arm=1)
    assert got.facts.output_truncated is truncated
    assert sum(map(len, got.files.values())) <= 2 * 2**20


def test_a_flood_of_output_is_drained_and_cut(docker_sandbox, run):
    code = """
import os

def run_trial(arm, seed, config, data):
    if arm == "control":
        print("the beginning", flush=True)
        for _ in range(60):
            os.write(1, b"A" * 2**20)
        print("\\nthe end", flush=True)
    return {"x": 1}
"""
    one_at_a_time = SMALL.model_copy(update={"cpus": 1})
    got = run(docker_sandbox(), code, limits=one_at_a_time, trials_per_arm=1)
    assert got.facts.exit_code == 0
    assert got.log_truncated
    assert len(got.log) < 200_000
    assert got.log.startswith(b"the beginning\n")
    assert b"the end\n" in got.log[-200:]


def test_limits_above_the_machine(docker_sandbox):
    sandbox = docker_sandbox()
    sandbox.check_limits(SMALL)
    with pytest.raises(InvalidInput, match="memory_mb"):
        sandbox.check_limits(ResourceLimits(cpus=1, memory_mb=1_000_000))
    with pytest.raises(InvalidInput, match="output_mb"):
        sandbox.check_limits(ResourceLimits(cpus=1, memory_mb=64, output_mb=100_000))


# ------------------------------------------------------ crashes, other processes

SUBMITTER = """
import sys, time
from pathlib import Path
from autoresearch.adapters.docker_sandbox import DockerSandbox
from autoresearch.records import ResourceLimits
from autoresearch.testing import approved_job

sandbox_dir, image, run_id, code, seconds = sys.argv[1:]
sandbox = DockerSandbox(image, harness=Path(sandbox_dir, "harness.py").read_bytes(),
                        seccomp=Path(sandbox_dir, "seccomp.json").read_bytes(), shipped=frozenset())
limits = ResourceLimits(seconds=int(seconds), memory_mb=128, cpus=2, processes=32, output_mb=2)
sandbox.submit(*approved_job({"experiment/experiment.py": code.encode()}, sandbox.isolation(),
                             run_id=run_id, limits=limits))
print("submitted", flush=True)
time.sleep(60)
"""


@pytest.fixture
def killed_supervisor(image_id):
    """Submits a job from a process that is then killed with SIGKILL."""
    from autoresearch import assets

    def submit_and_die(run_id, code, seconds):
        with subprocess.Popen(
            [sys.executable, "-c", SUBMITTER, assets.sandbox(), image_id, run_id, code, str(seconds)],
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout.readline() == b"submitted\n"
            process.send_signal(signal.SIGKILL)

    return submit_and_die


def test_another_process_takes_over_a_running_job(docker_sandbox, own, killed_supervisor, client):
    run_id, sandbox = own("takeover"), docker_sandbox()
    code = """
import time

def run_trial(arm, seed, config, data):
    time.sleep(0.8)
    print("late", flush=True)
    return {"x": 1}
"""
    killed_supervisor(run_id, code, 20)
    assert sandbox.poll(run_id).phase == "running"
    assert await_end(sandbox, run_id).phase == "ended"
    got = collected(sandbox, run_id, SMALL)
    assert got.facts.exit_code == 0
    assert len(lines(got)) == 4
    assert b"late" in got.log
    assert got.log_truncated  # nobody heard the beginning
    sandbox.remove(run_id)
    assert left_behind(client, run_id) == []


def test_nobody_watches_and_the_inner_deadline_holds(docker_sandbox, own, killed_supervisor, client):
    run_id, sandbox = own("unwatched"), docker_sandbox()
    killed_supervisor(run_id, SLEEPS, 1)
    give_up = time.monotonic() + 15
    while client.inspect_container(f"autoresearch-{run_id}")["State"]["Running"]:
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert sandbox.poll(run_id).phase == "ended"
    got = collected(sandbox, run_id, ONE_SECOND)
    assert got.facts.timed_out is True
    assert 1 <= got.facts.wall_seconds <= 3.5
    assert (got.facts.cpu_seconds, got.facts.peak_memory_mb) == (None, None)
    assert (got.log, got.log_truncated) == (b"", True)
    sandbox.remove(run_id)
    assert left_behind(client, run_id) == []


def test_a_taker_over_keeps_the_deadline(docker_sandbox, submit):
    first, second = docker_sandbox(), docker_sandbox()
    job = submit(first, SLEEPS, limits=ONE_SECOND)
    first.close()
    assert await_end(second, job.run_id, seconds=10).phase == "ended"
    assert collected(second, job.run_id, job.limits).facts.timed_out is True


def test_outputs_lost_with_their_holder_are_absent(docker_sandbox, submit, client):
    sandbox = docker_sandbox()
    job = submit(sandbox, NOTHING, limits=SMALL)
    assert await_end(sandbox, job.run_id).phase == "ended"
    client.kill(f"autoresearch-{job.run_id}-holder")
    client.wait(f"autoresearch-{job.run_id}-holder")
    assert sandbox.poll(job.run_id).phase == "absent"
    with pytest.raises(SandboxFailed, match="no outputs"):
        collected(sandbox, job.run_id, job.limits)
    sandbox.remove(job.run_id)
    assert left_behind(client, job.run_id) == []


def test_a_run_created_but_never_started_is_absent_and_goes_away(
    docker_sandbox, own, image_id, seccomp, client
):
    sandbox, run_id = docker_sandbox(), own("created")
    for volume in (policy.input_volume(run_id, {}, SMALL), policy.output_volume(run_id, SMALL)):
        client.create_volume(volume["Name"], volume["Driver"], volume["DriverOpts"], volume["Labels"])
    for config, name in (
        (policy.holder_config(run_id, image_id, seccomp.decode(), SMALL), policy.names(run_id).holder),
        (policy.run_config(run_id, image_id, seccomp.decode(), SMALL), policy.names(run_id).run),
    ):
        client.create_container_from_config(config, name)
        assert sandbox.poll(run_id).phase == "absent"
    client.start(policy.names(run_id).holder)
    assert sandbox.poll(run_id).phase == "absent"
    sandbox.remove(run_id)
    assert left_behind(client, run_id) == []


def test_what_the_engine_created_after_the_first_look_is_removed_with_its_volumes(
    docker_sandbox, submit, client
):
    job = submit(docker_sandbox(), SLEEPS, limits=SMALL)
    looks = iter([[]])  # the first look finds no container, though its volumes are held

    def containers(**asked):
        first = next(looks, None)
        return client.containers(**asked) if first is None else first

    docker_sandbox(client=Tampering(client, containers=containers)).remove(job.run_id)
    assert left_behind(client, job.run_id) == []


def test_an_interrupt_breaks_off_no_request_to_create(docker_sandbox, own, client):
    # The engine would carry it out after everything was removed.
    asked_by = []

    def create(config, name):
        asked_by.append(threading.current_thread())
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)  # by then the main thread has been interrupted
        return client.create_container_from_config(config, name)

    sandbox = docker_sandbox(client=Tampering(client, create_container_from_config=create))
    files = {"experiment/experiment.py": SLEEPS.encode()}
    run_id = own("interrupted")
    with pytest.raises(KeyboardInterrupt):
        sandbox.submit(*approved_job(files, sandbox.isolation(), run_id=run_id, limits=SMALL))
    assert asked_by
    assert threading.main_thread() not in asked_by
    assert left_behind(client, run_id) == []


@pytest.mark.parametrize("raced", [False, True])
def test_a_name_taken_by_another_process_is_refused_and_left_alone(docker_sandbox, submit, client, raced):
    first = docker_sandbox()
    # Raced: the other process created it after this one had looked.
    blind = {"containers": lambda **_: []} if raced else {}
    second = docker_sandbox(client=Tampering(client, **blind))
    job = submit(first, SLEEPS, limits=SMALL)
    files = {"experiment/experiment.py": SLEEPS.encode()}
    again, warrant = approved_job(files, second.isolation(), run_id=job.run_id, limits=SMALL)
    with pytest.raises(SandboxFailed, match=f"autoresearch-{job.run_id}.*(not started twice)"):
        second.submit(again, warrant)
    assert first.poll(job.run_id).phase == "running"
    assert len(left_behind(client, job.run_id)) == 4


# --------------------------------------------------------- engine, image missing


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the SDK leaves a socket that found nobody
def test_no_engine(image_id, harness, seccomp, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    sandbox = DockerSandbox(image_id, harness=harness, seccomp=seccomp, shipped=frozenset())
    with pytest.raises(BackEndMissing, match="no Docker engine answers"):
        sandbox.isolation()
    gc.collect()


def test_no_image(docker_sandbox):
    with pytest.raises(BackEndMissing, match="autoresearch sandbox build"):
        docker_sandbox(image_id="sha256:" + "1" * 64).isolation()


def test_a_tag_is_not_an_image(docker_sandbox):
    with pytest.raises(InvalidInput, match="full id"):
        docker_sandbox(image_id="autoresearch-sandbox:latest")


def test_an_engine_that_goes_away_is_no_result(docker_sandbox, submit, client):
    away = False

    def inspect(name):
        if away:
            raise requests.exceptions.ConnectionError("gone")
        return client.inspect_container(name)

    sandbox = docker_sandbox(client=Tampering(client, inspect_container=inspect))
    job = submit(sandbox, NOTHING, limits=SMALL)
    away = True
    with pytest.raises(SandboxFailed, match="did not answer"):
        sandbox.poll(job.run_id)
    with pytest.raises(SandboxFailed, match="did not answer"):
        collected(sandbox, job.run_id, job.limits)
    away = False
    assert await_end(sandbox, job.run_id).phase == "ended"
