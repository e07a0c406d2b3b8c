"""Trials spread over several workers: who gets which, what each is believed about, and who falls away."""

import json
import tempfile
import time
from pathlib import Path

import pytest

from autoresearch import jobs
from autoresearch.adapters import docker_policy as policy
from autoresearch.contents import bytes_of
from autoresearch.errors import InvalidInput
from autoresearch.ports import Collected
from autoresearch.records import HostFacts, ResourceLimits, TrialSpec
from autoresearch.steps.workers import UNOBSERVED, collect, merged
from autoresearch.testing import await_end

TWO = ResourceLimits(workers=2, seconds=120, memory_mb=96, cpus=1, processes=32, output_mb=2)
ARMS = ("control", "treatment")
SPECS = [TrialSpec(index=2 * n + a, arm=arm, seed=100 + n) for n in range(3) for a, arm in enumerate(ARMS)]
FACTS = HostFacts(
    exit_code=0, wall_seconds=1.0, cpu_seconds=0.5, peak_memory_mb=32.0, out_of_memory=False,
    timed_out=False, output_truncated=False,
    started_at="2026-01-01T00:00:00Z", ended_at="2026-01-01T00:00:01Z",
)  # fmt: skip
LATER = FACTS.model_copy(
    update={
        "started_at": FACTS.ended_at,
        "ended_at": FACTS.ended_at.replace(second=5),
        "peak_memory_mb": 64.0,
    }
)


def line(spec, **changed):
    found = {
        **spec.model_dump(),
        "status": "ok",
        "seconds": 0.1,
        "cpu_seconds": 0.1,
        "data_sha256": None,
        "data_note": None,
        "values": {"x": 1},
        "arrays": None,
        "error": None,
    }
    return json.dumps({**found, **changed}).encode() + b"\n"


def part(*lines, facts=FACTS, log=b"said\n", refused=(), **files):
    given = {path.replace("__", "/"): data for path, data in files.items()}
    return Collected(facts, {"trials.jsonl": b"".join(lines), **given}, log, False, refused)


def put_together(*parts):
    with tempfile.TemporaryDirectory() as into:
        got = merged(parts, jobs.shares(SPECS, 2), Path(into))
        return got, {path: bytes_of(content) for path, content in got.files.items()}


# ------------------------------------------------------------------------ pure


def test_whole_seeds_go_round():
    first, second = jobs.shares(SPECS, 2)
    assert [spec.index for spec in first] == [0, 1, 4, 5]
    assert [spec.index for spec in second] == [2, 3]
    assert {spec.arm for spec in second} == set(ARMS)


@pytest.mark.parametrize(("workers", "expected"), [(1, 1), (3, 3), (9, 3)])
def test_no_worker_without_a_trial(workers, expected):
    dealt = jobs.shares(SPECS, workers)
    assert len(dealt) == expected
    assert all(dealt)
    assert sorted((spec for share in dealt for spec in share), key=lambda s: s.index) == SPECS


def test_lines_come_in_the_order_of_the_trials():
    first = part(*(line(SPECS[n]) for n in (4, 0, 5, 1)), artifacts__a=b"0")
    second = part(*(line(SPECS[n]) for n in (3, 2)), artifacts__a=b"1", **{"arrays__2.json": b"{}"})
    got, files = put_together(first, second)
    assert [json.loads(text)["index"] for text in files["trials.jsonl"].splitlines()] == [0, 1, 2, 3, 4, 5]
    assert files["artifacts/worker-0/a"] == b"0"
    assert files["artifacts/worker-1/a"] == b"1"
    assert files["arrays/2.json"] == b"{}"
    assert (list(got.refused), got.workers_lost, got.log_truncated) == ([], 0, False)
    assert got.log == b"[worker 0]\nsaid\n\n[worker 1]\nsaid\n\n"


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (line(SPECS[0]), "no trial 0 was issued"),
        (line(SPECS[2], seed=1), "was issued as"),
        (line(SPECS[3], values={"x": 2}), "no trial 3 was issued"),  # it stands there already
        (b'{"index": NaN}\n', "line 2"),
        (b"\xff\n", "line 2"),
        (b"[" * 100_000 + b"\n", "line 2"),
    ],
)
def test_a_worker_is_believed_about_its_own_trials_only(forged, why):
    got, files = put_together(part(line(SPECS[0])), part(line(SPECS[3]), forged, line(SPECS[2])))
    lines = [json.loads(text) for text in files["trials.jsonl"].splitlines()]
    assert [(found["index"], found["values"]["x"]) for found in lines] == [(0, 1), (2, 1), (3, 1)]
    assert len(got.refused) == 1
    assert got.refused[0].startswith("worker 1: ")
    assert why in got.refused[0]


def test_an_array_of_anothers_trial_is_not_taken():
    got, files = put_together(part(line(SPECS[0])), part(line(SPECS[2]), **{"arrays__0.json": b"{}"}))
    assert "arrays/0.json" not in files
    assert list(got.refused) == ["worker 1: arrays/0.json: it belongs to no trial of this worker"]


def test_a_line_without_an_end_is_left_out():
    _, files = put_together(part(line(SPECS[0]), line(SPECS[1])[:-1]), part())
    assert files["trials.jsonl"] == line(SPECS[0])


def test_facts_are_of_all_workers():
    got, _ = put_together(part(), part(facts=LATER.model_copy(update={"exit_code": 10})))
    facts = got.facts
    assert (facts.exit_code, facts.wall_seconds, facts.cpu_seconds, facts.peak_memory_mb) == (
        10,
        5.0,
        1.0,
        64.0,
    )
    assert (facts.started_at, facts.ended_at) == (FACTS.started_at, LATER.ended_at)
    assert (facts.out_of_memory, facts.timed_out, facts.output_truncated) == (False, False, False)


def test_what_nobody_measured_of_one_worker_is_not_known_of_all():
    unwatched = FACTS.model_copy(update={"cpu_seconds": None, "peak_memory_mb": None})
    got, _ = put_together(part(), part(facts=unwatched))
    assert (got.facts.cpu_seconds, got.facts.peak_memory_mb, got.facts.exit_code) == (None, None, 0)


def test_of_a_lost_worker_nothing_is_guessed_and_the_others_trials_stay():
    got, files = put_together(None, part(line(SPECS[2]), facts=LATER))
    assert (got.workers_lost, got.log_truncated) == (1, True)
    assert files["trials.jsonl"] == line(SPECS[2])
    assert (got.facts.exit_code, got.facts.wall_seconds, got.facts.out_of_memory) == (None, None, None)
    ended_by_memory = LATER.model_copy(update={"out_of_memory": True})
    assert put_together(None, part(facts=ended_by_memory))[0].facts.out_of_memory is True
    assert put_together(None, None)[0].facts == UNOBSERVED


# -------------------------------------------------------------- on a real engine


@pytest.fixture
def spread(docker_sandbox, submit, tmp_path):
    """Submits code to two workers; gives the job and what puts the rest together."""

    def start(code, limits=TWO, **approved):
        sandbox = docker_sandbox()
        job = submit(sandbox, code, limits=limits, **approved)

        def gather(watcher=sandbox):
            await_end(watcher, job.run_id, seconds=120)
            got = collect(watcher, job, tmp_path)
            text = bytes_of(got.files.get("trials.jsonl", b""))
            return got, [json.loads(found) for found in text.splitlines()]

        return job, sandbox, gather

    return start


@pytest.fixture
def client():
    from contextlib import closing

    from autoresearch.adapters import engine

    with closing(engine.connect()) as connected:
        yield connected.api


CODE = """
import json, os, time

def run_trial(arm, seed, config, data):
    open(f"{arm}-{seed}", "w").write("mine")
    if arm == "treatment" and json.load(open("/in/job.json"))["trials"][0]["index"] == 0:
        BODY
    return {"seed": seed, "many": list(range(seed % 7, seed % 7 + 20)), "uid": os.getuid(), "others": len(os.listdir("."))}
"""


@pytest.mark.docker
def test_two_workers_share_nothing_and_give_one_result(spread, client):
    job, _, gather = spread(CODE.replace("BODY", "pass"), trials_per_arm=2)
    names = [policy.names(job.run_id, worker) for worker in policy.workers(2)]
    mounts = [{m["Name"] for m in client.inspect_container(own.run)["Mounts"]} for own in names]
    assert mounts == [{own.inputs, own.outputs} for own in names]
    assert not mounts[0] & mounts[1]
    got, lines = gather()
    assert (got.facts.exit_code, got.workers_lost, list(got.refused)) == (0, 0, [])
    assert [found["index"] for found in lines] == [0, 1, 2, 3]
    uids = {found["seed"]: found["values"]["uid"] for found in lines}
    assert len(set(uids.values())) == 2, "each worker has a user of its own"
    assert all(found["values"]["others"] <= 2 for found in lines), "and sees its own files only"
    assert {path for path in got.files if path.startswith("arrays/")} == {
        f"arrays/{n}.json" for n in range(4)
    }
    assert sum(path.startswith("artifacts/worker-1/") for path in got.files) == 2


ENDINGS = {
    "killed": ("os.kill(os.getppid(), 9)", "exit_code", 137),
    "memory": ("len(b'x' * 2**30)", "out_of_memory", True),
    "time": ("time.sleep(600)", "timed_out", True),
}


@pytest.mark.docker
@pytest.mark.parametrize("how", ENDINGS)
def test_a_worker_that_ends_early_costs_no_other_and_keeps_what_ended(spread, how):
    body, fact, expected = ENDINGS[how]
    limits = TWO.model_copy(update={"seconds": 8}) if how == "time" else TWO
    _, _, gather = spread(CODE.replace("BODY", body), limits=limits, trials_per_arm=4)
    got, lines = gather()
    assert getattr(got.facts, fact) == expected
    assert got.workers_lost == 0
    ended = {found["index"] for found in lines if found["status"] == "ok"}
    assert 0 in ended, "what the first worker had finished"
    assert 1 not in ended, "what it died of"
    assert how == "time" or {2, 3, 6, 7} <= ended, "what the other had"


@pytest.mark.docker
def test_a_worker_that_is_gone_is_lost_and_the_others_trials_stay(spread, client):
    job, sandbox, gather = spread(CODE.replace("BODY", "pass"), trials_per_arm=2)
    client.remove_container(policy.names(job.run_id, policy.Worker(1, 2)).run, force=True)
    got, lines = gather()
    assert got.workers_lost == 1
    assert [found["index"] for found in lines] == [0, 1]
    assert got.facts.exit_code is None
    sandbox.remove(job.run_id)
    assert client.containers(all=True, filters={"label": f"{policy.LABEL}={job.run_id}"}) == []


@pytest.mark.docker
def test_another_process_takes_two_workers_over(spread, docker_sandbox):
    job, first, gather = spread(
        "import time\ndef run_trial(a, seed, c, d):\n    time.sleep(2)\n    return {'x': 1}\n"
    )
    first.close()
    second = docker_sandbox()
    assert second.poll(job.run_id).phase == "running"
    got, lines = gather(second)
    assert (got.facts.exit_code, len(lines), got.log_truncated) == (0, 4, True)


@pytest.mark.docker
def test_cancel_ends_every_worker(spread):
    job, sandbox, gather = spread("import time\ndef run_trial(a, seed, c, d):\n    time.sleep(600)\n")
    began = time.monotonic()
    sandbox.cancel(job.run_id)
    got, lines = gather()
    assert time.monotonic() - began < 60
    assert (got.facts.exit_code, got.facts.timed_out, lines) == (137, False, [])


@pytest.mark.docker
def test_limits_count_for_every_worker(docker_sandbox):
    sandbox = docker_sandbox()
    sandbox.check_limits(TWO.model_copy(update={"cpus": 0.1}))
    with pytest.raises(InvalidInput, match=r"cpus is 0.5 for each of 64 workers"):
        sandbox.check_limits(TWO.model_copy(update={"workers": 64, "cpus": 0.5}))
    with pytest.raises(InvalidInput, match="for each of 64 workers"):
        sandbox.check_limits(TWO.model_copy(update={"workers": 64, "cpus": 0.01, "memory_mb": 100_000}))
