"""Shipped code as an ordinary process: the same life cycle, no isolation, and the door before it."""

import time
from pathlib import Path

import pytest

from autoresearch import door
from autoresearch.adapters.shipped_process import ProcessSandbox
from autoresearch.errors import InvalidInput, NotApproved
from autoresearch.records import ResourceLimits
from autoresearch.testing import (
    FakeSandbox,
    approved_job,
    await_end,
    check_sandbox,
    collected,
    conformance_trial,
)

FEW = ResourceLimits(seconds=1, memory_mb=256, cpus=1, processes=32, output_mb=1)


def test_fake_conforms():
    check_sandbox(lambda shipped: FakeSandbox(conformance_trial, shipped=shipped))


def test_process_conforms(harness):
    check_sandbox(lambda shipped: ProcessSandbox(harness=harness, shipped=shipped))


@pytest.fixture
def run_shipped(harness):
    """Runs code as if it had shipped."""
    made = []

    def run(code, limits=FEW, trials=1):
        files = {"experiment/experiment.py": code.encode()}
        sandbox = ProcessSandbox(harness=harness, shipped={door.manifest_digest(files)})
        job, warrant = approved_job(
            files, sandbox.isolation(), limits=limits, trials_per_arm=trials, demonstration=True
        )
        made.append((sandbox, job.run_id))
        sandbox.submit(job, warrant)
        await_end(sandbox, job.run_id)
        return collected(sandbox, job.run_id, job.limits)

    yield run
    for sandbox, run_id in made:
        sandbox.remove(run_id)


def test_refuses_code_that_does_not_ship(harness):
    files = {"experiment/experiment.py": b"def run_trial(a, s, c, d): return {'x': 1}\n"}
    sandbox = ProcessSandbox(harness=harness, shipped=frozenset())
    job, warrant = approved_job(files, sandbox.isolation())
    with pytest.raises(NotApproved, match="without isolation"):
        sandbox.submit(job, warrant)
    assert sandbox.poll(job.run_id).phase == "absent"


def test_deadline_kills_and_keeps_what_ended(run_shipped):
    code = """
import signal, time

def run_trial(arm, seed, config, data):
    if arm == "treatment":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    return {"x": 1}
"""
    began = time.monotonic()
    got = run_shipped(code)
    assert time.monotonic() - began < 3
    assert (got.facts.timed_out, got.facts.exit_code) == (True, 137)
    assert got.files["trials.jsonl"].count(b"\n") == 1


def test_facts_are_measured_where_they_can_be(run_shipped):
    got = run_shipped("def run_trial(arm, seed, config, data):\n    return {'x': sum(range(10**6))}\n")
    assert got.facts.exit_code == 0
    assert got.facts.timed_out is False
    assert got.facts.out_of_memory is None
    assert 0 < got.facts.cpu_seconds < 5
    assert got.facts.peak_memory_mb > 5


def test_memory_limit_fails_the_trial(run_shipped):
    got = run_shipped("def run_trial(arm, seed, config, data):\n    return {'x': len(bytearray(2**29))}\n")
    assert got.facts.exit_code == 10
    assert b"MemoryError" in got.files["trials.jsonl"]


def test_environment_is_not_passed_on(run_shipped, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "SECRET-CANARY")
    got = run_shipped(
        "import os\ndef run_trial(arm, seed, config, data):\n    print(dict(os.environ))\n    return {'x': 1}\n"
    )
    assert b"OMP_NUM_THREADS" in got.log
    assert b"CANARY" not in got.log


def test_links_and_devices_are_not_taken(run_shipped):
    code = """
import os

def run_trial(arm, seed, config, data):
    if arm == "control":
        os.symlink("/etc/passwd", "link")
        os.mkfifo("pipe")
        open("plain", "w").write("kept")
    return {"x": 1}
"""
    got = run_shipped(code)
    assert set(got.files) == {"trials.jsonl", "artifacts/plain"}
    assert len(got.refused) == 2


def test_remove_ends_what_runs_and_what_it_started(harness):
    code = b"""
import os, time

def run_trial(arm, seed, config, data):
    print("pid", os.getpid(), flush=True)
    time.sleep(60)
"""
    files = {"experiment/experiment.py": code}
    sandbox = ProcessSandbox(harness=harness, shipped={door.manifest_digest(files)})
    job, warrant = approved_job(files, sandbox.isolation(), demonstration=True)
    sandbox.submit(job, warrant)
    directory = sandbox._runs[job.run_id].directory
    log = sandbox._runs[job.run_id].log
    give_up = time.monotonic() + 10
    while b"pid" not in log.text()[0] and time.monotonic() < give_up:
        time.sleep(0.02)
    trial = int(log.text()[0].split()[1])
    sandbox.remove(job.run_id)
    assert not directory.exists()
    while runs(trial):
        assert time.monotonic() < give_up
        time.sleep(0.02)


def runs(pid):
    """Whether the process exists and is more than an entry that nobody has reaped yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_limits_above_the_machine(harness):
    sandbox = ProcessSandbox(harness=harness, shipped=frozenset())
    sandbox.check_limits(FEW)
    with pytest.raises(InvalidInput, match="memory_mb"):
        sandbox.check_limits(ResourceLimits(cpus=1, memory_mb=1_000_000))
