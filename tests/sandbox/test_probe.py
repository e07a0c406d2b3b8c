"""What is made of a probe: kept, refused, recorded. What it finds in a real sandbox stands in that one's tests."""

import json
from datetime import UTC, datetime

import pytest

from autoresearch.adapters.sandbox_probe import fresh_probe, probe
from autoresearch.errors import BackEndMissing
from autoresearch.ports import Collected, JobState
from autoresearch.records import HostFacts, Result, Run, digest_of
from autoresearch.steps.experiment import caveats
from autoresearch.testing import FAKE_ISOLATION, FakeSandbox
from autoresearch.testing_project import drive, make_project, shifted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLDS = {
    "processes": 22, "network": [], "vsock": "EPERM", "io_uring": "EPERM", "write-outside": [], "disk": 4,
    "root": "none", "kernel": "6.1", "python": [3, 12],
}  # fmt: skip


class Tried:
    """What a sandbox says that runs the probe, without running it."""

    def __init__(self, found=HOLDS, *, architecture="x86_64", killed=True, boot="1"):
        self.found, self.killed = found, killed
        self.about = {"architecture": architecture, "kernel": "6.1", "boot": boot}
        self.launched = []

    def isolation(self):
        return FAKE_ISOLATION

    def machine(self):
        return self.about

    def launch_probe(self, run_id, what, limits):
        self.launched.append(what)

    def poll(self, run_id):
        return JobState("ended")

    def collect(self, run_id, limits, into):
        what = self.launched[-1]
        facts = HostFacts(
            exit_code=137, wall_seconds=1.0, cpu_seconds=None, peak_memory_mb=None,
            out_of_memory=what == "memory" and self.killed, timed_out=what == "time" and self.killed,
            output_truncated=False, started_at=NOW, ended_at=NOW,
        )  # fmt: skip
        return [Collected(facts, {}, json.dumps(self.found).encode(), log_truncated=False)]

    def remove(self, run_id):
        pass


def test_a_probe_that_holds_is_made_once_per_start_of_the_engine(tmp_path):
    sandbox = Tried()
    first = fresh_probe(sandbox, tmp_path / "probes")
    assert sandbox.launched == ["escape", "memory", "time"]
    assert fresh_probe(sandbox, tmp_path / "probes") == first
    assert len(sandbox.launched) == 3
    after_boot = Tried(boot="2")
    assert digest_of(fresh_probe(after_boot, tmp_path / "probes")) == digest_of(first)
    assert len(after_boot.launched) == 3


@pytest.mark.parametrize("garbage", [b"", b"{}", b"\xff", b'{"rows": []}'])
def test_a_kept_probe_that_does_not_parse_is_made_anew(tmp_path, garbage):
    fresh_probe(Tried(), tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(garbage)
    sandbox = Tried()
    fresh_probe(sandbox, tmp_path)
    assert len(sandbox.launched) == 3
    assert [row.ok for row in fresh_probe(Tried(), tmp_path).rows] == [True] * 11


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("processes", 4096), ("processes", 0), ("network", ["eth0"]), ("vsock", "done"), ("io_uring", "done"),
        ("write-outside", ["/etc"]), ("disk", 64), ("root", "some"), ("kernel", "another"),
    ],
)  # fmt: skip
def test_what_is_not_contained_is_refused_by_name_and_not_kept(tmp_path, name, found):
    with pytest.raises(BackEndMissing, match=f"{name}: expected") as refusal:
        fresh_probe(Tried({**HOLDS, name: found}), tmp_path)
    assert refusal.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("found", [[], {}, "text", {"processes": 22}])
def test_a_probe_that_says_nothing_holds_nothing(tmp_path, found):
    with pytest.raises(BackEndMissing, match="vsock"):
        fresh_probe(Tried(found), tmp_path)


def test_limits_that_do_not_kill_are_refused(tmp_path):
    with pytest.raises(BackEndMissing, match=r"memory.*time"):
        fresh_probe(Tried(killed=False), tmp_path)


def test_an_architecture_that_no_test_ran_on_is_named(tmp_path):
    found = fresh_probe(Tried(architecture="aarch64"), tmp_path)
    assert caveats(FAKE_ISOLATION, found) == ["untested: the system call filter on aarch64"]
    assert caveats(FAKE_ISOLATION, probe(Tried())) == []


# ----------------------------------------------------------------- the records


@pytest.fixture
def project(tmp_path, quick):
    ledger = make_project(tmp_path / "project", quick.read_text())
    yield ledger
    ledger.close()


def test_the_result_names_the_probe_of_its_run(project):
    found = probe(Tried())
    drive(project, ["approve", "accept"], sandbox=FakeSandbox(shifted, probe=found))
    bodies = [entry.record.body for entry in project.entries()]
    (run,) = [body for body in bodies if isinstance(body, Run)]
    (result,) = [body for body in bodies if isinstance(body, Result)]
    assert run.probe == found
    assert (result.probe, result.caveats) == (digest_of(found), [])


def test_a_result_without_a_probe_says_so(project):
    drive(project, ["approve", "accept"])
    (result,) = [e.record.body for e in project.entries() if isinstance(e.record.body, Result)]
    assert (result.probe, result.caveats) == (None, ["the isolation was not tried before the run"])


def test_a_sandbox_that_does_not_hold_costs_no_approval(project):
    class Leaks(FakeSandbox):
        def probe(self):
            raise BackEndMissing("vsock: expected EPERM; found done")

    with pytest.raises(BackEndMissing, match="vsock"):
        drive(project, ["approve"], sandbox=Leaks(shifted))
    assert project.entries()[-1].record.kind == "approval"
    drive(project, ["accept"])
    assert project.entries()[-1].record.kind == "report"
