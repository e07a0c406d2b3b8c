"""The bubblewrap tier, on this machine's kernel: what it holds, what it leaves, and who may have it."""

import json
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoresearch.adapters import bubblewrap_policy as policy
from autoresearch.adapters.bubblewrap_sandbox import BubblewrapSandbox
from autoresearch.adapters.control_group import ControlGroup, GroupLimits, version
from autoresearch.adapters.docker_policy import memory_mb
from autoresearch.adapters.sandbox_probe import probe
from autoresearch.adapters.seccomp_filter import compile_filter
from autoresearch.errors import BackEndMissing, InvalidInput, NotApproved, SandboxFailed
from autoresearch.records import ResourceLimits
from autoresearch.testing import FAKE_ISOLATION, approved_job, check_sandbox

SMALL = ResourceLimits(seconds=20, memory_mb=96, cpus=1, processes=16, output_mb=2)
NOTHING = "def run_trial(arm, seed, config, data):\n    return {'x': seed}\n"


def lines(got):
    return [json.loads(line) for line in got.files["trials.jsonl"].splitlines()]


def left_behind(run_id):
    mounted = [line for line in Path("/proc/mounts").read_text().splitlines() if run_id in line]
    return [
        *mounted,
        *policy.RUNS.glob(f"*{run_id}*"),
        *Path("/sys/fs/cgroup").glob(f"*/autoresearch/{run_id}"),
    ]


# ------------------------------------------------------------------- real runs


def test_bubblewrap_conforms(bubblewrap_sandbox):
    check_sandbox(bubblewrap_sandbox)
    assert left_behind(f"-{os.getpid()}") == []


def test_probe_finds_every_limit_in_force(bubblewrap_sandbox):
    assert [row for row in probe(bubblewrap_sandbox()).rows if not row.ok] == []


def test_probe_finds_a_profile_that_lets_all_pass(bubblewrap_sandbox):
    lax = bubblewrap_sandbox(seccomp=b'{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert lax.isolation().policy_sha256 != bubblewrap_sandbox().isolation().policy_sha256
    rows = {row.name: row.ok for row in probe(lax).rows}
    assert (rows["vsock"], rows["io_uring"], rows["network"]) == (False, False, True)


def test_an_approval_for_docker_does_not_run_in_bubblewrap(bubblewrap_sandbox):
    job, warrant = approved_job({"experiment/experiment.py": b""}, FAKE_ISOLATION, limits=SMALL)
    with pytest.raises(NotApproved, match="tier is bubblewrap, but docker was approved"):
        bubblewrap_sandbox().submit(job, warrant)
    assert left_behind(job.run_id) == []


def test_numpy_processes_and_threads_work(bubblewrap_sandbox, run):
    code = """
import multiprocessing, subprocess, threading, scipy.stats, sklearn
import numpy as np

def run_trial(arm, seed, config, data):
    with multiprocessing.get_context(arm).Pool(2) as pool:
        total = sum(pool.map(abs, [-1, -2]))
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
    return {"total": total, "child": subprocess.run(["true"]).returncode, "norm": float(np.linalg.norm(np.ones(100)))}
"""
    limits = SMALL.model_copy(update={"seconds": 60, "memory_mb": 512, "processes": 32})
    got = run(bubblewrap_sandbox(), code, limits=limits, arms=("fork", "spawn"), trials_per_arm=1)
    for line in lines(got):
        assert line["status"] == "ok", line["error"]
        assert line["values"] == {"total": 3, "child": 0, "norm": 10}


ATTEMPTS = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)

def error_of(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0

def call(*arguments):
    return ctypes.get_errno() if libc.syscall(*arguments) < 0 else 0

def thirty_two_bit():
    import mmap
    code = bytes.fromhex("b814000000cd80c3")
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()

def run_trial(arm, seed, config, data):
    if arm == "thirty-two":
        thirty_two_bit()
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {
        "uid": os.getuid(), "groups": len(os.getgroups()),
        "rights": sum(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
        "no_new_privs": int(status["NoNewPrivs"]), "filter": int(status["Seccomp"]),
        "environment": len([name for name in os.environ if "CANARY" in os.environ[name] or "KEY" in name]),
        "etc": len(set(os.listdir("/etc")) - {"hosts", "resolv.conf"}), "home": int(os.path.exists("/home")), "sys": int(os.path.exists("/sys")),
        "local": int(os.path.exists("/usr/local")),
        "descriptors": len(os.listdir("/proc/self/fd")), "terminal": int(os.isatty(0) or os.isatty(1)),
        "e_ptrace": call(101, 0, 0, 0, 0), "e_unshare": call(272, 0x10000000), "e_keyctl": call(250, 0, 0, 0),
        "e_bpf": call(321, 0, 0, 0), "e_mount": call(165, 0, 0, 0, 0, 0), "e_uring": call(425, 1, 0),
        "e_vsock": error_of(lambda: socket.socket(40, 1)), "e_netlink": error_of(lambda: socket.socket(16, 3)),
        "e_init": error_of(lambda: os.kill(1, 9)), "e_setuid": error_of(lambda: os.setuid(0)),
        "init_memory": error_of(lambda: open("/proc/1/mem", "rb")), "init_files": error_of(lambda: os.listdir("/proc/1/fd")),
        "write_root": error_of(lambda: open("/x", "w")), "write_dev": error_of(lambda: open("/dev/x", "w")),
        "write_code": error_of(lambda: open("/in/harness.py", "w")),
        "write_packages": error_of(lambda: open("/packages/x", "w")),
    }
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86_64")
def test_attempts_from_inside_are_refused(bubblewrap_sandbox, run, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "SECRET-CANARY")
    got = run(bubblewrap_sandbox(), ATTEMPTS, limits=SMALL, arms=("attempts", "thirty-two"), trials_per_arm=1)
    found = {line["arm"]: line for line in lines(got)}
    assert "killed by signal 31" in found["thirty-two"]["error"]  # SIGSYS
    assert found["attempts"]["status"] == "ok", found["attempts"]["error"]
    values = found["attempts"]["values"]
    assert values.pop("uid") >= 0x70000000
    assert values.pop("descriptors") <= 6
    assert (values.pop("no_new_privs"), values.pop("filter")) == (1, 2)
    eperm, eacces, erofs = 1, 13, 30
    assert {
        name: values.pop(name) for name in list(values) if name.startswith("e_") and values[name] == eperm
    }
    assert {values.pop(name) for name in ("init_memory", "init_files")} <= {eperm, eacces}
    assert {values.pop(name) for name in list(values) if name.startswith("write_")} <= {erofs, eacces}
    assert {name: value for name, value in values.items() if value} == {}


def test_memory_of_all_processes_counts_together(bubblewrap_sandbox, run):
    code = """
import os

def run_trial(arm, seed, config, data):
    if arm == "treatment":
        for _ in range(4):
            if os.fork() == 0:
                held = b"x" * (100 * 2**20)
                import time
                time.sleep(3)
                os._exit(0)
        for _ in range(4):
            os.wait()
    return {"x": 1}
"""
    got = run(bubblewrap_sandbox(), code, limits=SMALL, trials_per_arm=1)
    assert got.facts.out_of_memory is True
    assert got.facts.peak_memory_mb <= memory_mb(SMALL) + 1


def test_use_is_measured_from_outside(bubblewrap_sandbox, run):
    code = """
import time

def run_trial(arm, seed, config, data):
    held, end = b"x" * (60 * 2**20), time.process_time() + 0.5
    while time.process_time() < end:
        pass
    return {"x": len(held)}
"""
    got = run(bubblewrap_sandbox(), code, limits=SMALL, trials_per_arm=1)
    assert got.facts.exit_code == 0, got.log
    assert 1.0 < got.facts.cpu_seconds < 4
    assert 60 < got.facts.peak_memory_mb < 150


def test_files_beyond_a_number_do_not_fit_into_scratch_space(bubblewrap_sandbox, run):
    code = """
def run_trial(arm, seed, config, data):
    try:
        for n in range(10000):
            open(f"/{'tmp' if arm == 'tmp' else 'dev/shm'}/{n}", "w").close()
    except OSError as error:
        return {"n": n, "error": error.errno}
    return {"n": n, "error": 0}
"""
    got = run(bubblewrap_sandbox(), code, limits=SMALL, arms=("tmp", "shm"), trials_per_arm=1)
    for line in lines(got):
        assert (line["values"]["n"] < 4096, line["values"]["error"]) == (True, 28), line


def test_the_deadline_kills_what_ignores_every_signal(bubblewrap_sandbox, submit, run):
    code = """
import os, signal

def run_trial(arm, seed, config, data):
    os.fork()
    os.setsid()
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        pass
"""
    limits = SMALL.model_copy(update={"seconds": 1})
    got = run(bubblewrap_sandbox(), code, limits=limits, trials_per_arm=1)
    assert (got.facts.timed_out, got.facts.exit_code) == (True, 137)
    assert got.facts.wall_seconds < 10


def test_hostile_outputs_are_left_behind(bubblewrap_sandbox, run):
    code = """
import os, socket

def run_trial(arm, seed, config, data):
    os.makedirs("/out/artifacts/.git", exist_ok=True)
    open("/out/artifacts/.git/config", "w").write("x")
    if not os.path.lexists("/out/artifacts/link"):
        os.symlink("/etc/passwd", "/out/artifacts/link")
        os.symlink("/", "/out/artifacts/root")
        os.link("/out/trials.jsonl", "/out/artifacts/twin")
        socket.socket(socket.AF_UNIX).bind("/out/artifacts/socket")
    open("/out/artifacts/kept", "w").write("kept")
    return {"x": 1}
"""
    got = run(bubblewrap_sandbox(), code, limits=SMALL, trials_per_arm=1)
    assert set(got.files) == {"trials.jsonl", "artifacts/kept"}
    refused = "\n".join(got.refused)
    assert all(name in refused for name in ("artifacts/link", "artifacts/socket", ".git", "a second name"))


# ------------------------------------------------------------------- its end


def test_killing_the_supervisor_kills_the_run(bubblewrap_sandbox, bubblewrap_root, tmp_path):
    run_id = f"t{os.getpid()}-orphan"
    script = tmp_path / "supervise.py"
    script.write_text(
        f"""
import pickle, sys, time
from autoresearch import assets
from autoresearch.adapters.bubblewrap_sandbox import BubblewrapSandbox
from autoresearch.testing import approved_job
from autoresearch.records import ResourceLimits
root = pickle.loads(bytes.fromhex({pickle.dumps(bubblewrap_root).hex()!r}))
folder = assets.sandbox()
sandbox = BubblewrapSandbox(root, harness=(folder / "harness.py").read_bytes(),
                            seccomp=(folder / "seccomp.json").read_bytes(), shipped=frozenset())
code = b"import time\\ndef run_trial(*_):\\n    print('here', flush=True)\\n    time.sleep(600)\\n"
limits = ResourceLimits(seconds=600, memory_mb=96, cpus=1, processes=16, output_mb=2)
job, warrant = approved_job({{"experiment/experiment.py": code}}, sandbox.isolation(), run_id={run_id!r}, limits=limits)
sandbox.submit(job, warrant)
print("started", flush=True)
time.sleep(600)
"""
    )
    supervisor = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    try:
        assert supervisor.stdout.readline() == b"started\n"
        group = ControlGroup(run_id)
        assert group._pids()
        supervisor.kill()
        supervisor.wait()
        give_up = time.monotonic() + 30
        while group._pids():
            assert time.monotonic() < give_up, "the run outlives its supervisor"
            time.sleep(0.05)
        again = bubblewrap_sandbox()
        assert again.poll(run_id).phase == "absent"
        assert left_behind(run_id), "what the run stood on is still there"
        job, warrant = approved_job(
            {"experiment/experiment.py": NOTHING.encode()}, again.isolation(), run_id=run_id, limits=SMALL
        )
        with pytest.raises(SandboxFailed, match="not started twice"):
            again.submit(job, warrant)
        again.remove(run_id)
        assert left_behind(run_id) == []
    finally:
        supervisor.kill()
        supervisor.stdout.close()
        bubblewrap_sandbox().remove(run_id)


def test_a_run_that_cannot_be_started_is_no_result(bubblewrap_root, harness, seccomp):
    """A launcher that fails has not run the experiment."""
    from dataclasses import replace

    gone = replace(bubblewrap_root, packages=Path("/nowhere"))
    sandbox = BubblewrapSandbox(gone, harness=harness, seccomp=seccomp, shipped=frozenset())
    job, warrant = approved_job(
        {"experiment/experiment.py": NOTHING.encode()},
        sandbox.isolation(),
        run_id=f"t{os.getpid()}-gone",
        limits=SMALL,
    )
    with pytest.raises(SandboxFailed, match="/nowhere"):
        sandbox.submit(job, warrant)
    assert left_behind(job.run_id) == []


# ---------------------------------------------------------------- the machine


def test_no_control_group_no_tier(tmp_path):
    with pytest.raises(BackEndMissing, match="no controller for cpu, cpuacct, memory, pids") as refusal:
        version(tmp_path)
    assert refusal.value.exit_code == 4
    (tmp_path / "cgroup.controllers").write_text("cpu io\n")
    with pytest.raises(BackEndMissing, match="no controller for memory, pids"):
        version(tmp_path)


def test_version_2_is_told_the_same_limits(tmp_path):
    """Files in place of the kernel's: no machine of ours has version 2, the probe decides there."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.procs").touch()
    group = ControlGroup("run", tmp_path)
    group.create(GroupLimits(2**20, 8, 0.5))
    said = {path.name: path.read_text().strip() for path in (tmp_path / "autoresearch" / "run").iterdir()}
    assert said == {
        "memory.max": "1048576",
        "memory.swap.max": "0",
        "pids.max": "8",
        "cpu.max": "50000 100000",
    }
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids +cpu\n"


@pytest.mark.parametrize(
    "profile",
    [
        b'{"defaultAction": "SCMP_ACT_NOTIFY"}',
        b'{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG"}]}',
    ],
)
def test_a_profile_that_cannot_be_kept_whole_is_refused(profile):
    with pytest.raises(InvalidInput, match="does not know"):
        compile_filter(profile)


def test_without_root_it_is_refused_with_the_mend(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else to try it")
    code = (
        "import os, sys; os.setgid(65534); os.setuid(65534);\n"
        "from autoresearch.adapters.bubblewrap_sandbox import require_machine\n"
        "try: require_machine()\n"
        "except Exception as error: print(error, error.exit_code)\n"
    )
    # Imported before the change of user: the checkout may not be readable for that one.
    code = "import autoresearch.adapters.bubblewrap_sandbox\n" + code
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.search(r"needs root.*sudo.*isolation = \"docker\".* 4", said, re.DOTALL)


def test_more_than_one_worker_is_refused(bubblewrap_sandbox):
    with pytest.raises(InvalidInput, match=r"limits\.workers is 2"):
        bubblewrap_sandbox().check_limits(SMALL.model_copy(update={"workers": 2}))
