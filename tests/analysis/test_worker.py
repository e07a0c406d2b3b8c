import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoresearch.analysis import worker
from autoresearch.analysis.worker import compute, recompute_values
from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.records import (
    Arm,
    Contrast,
    ControlCheck,
    Controls,
    Hypothesis,
    MetricCard,
    PlanDraft,
    SecondaryContrast,
    TrialSpec,
)

HARNESS = Path(__file__).parents[2] / "sandbox" / "harness.py"

PLAN = PlanDraft(
    question="does it help?",
    hypotheses=[Hypothesis(id="H1", statement="it does", expects=["positive"], refuted_by=["negative"])],
    arms=[Arm(name="treated", description="with"), Arm(name="plain", description="without")],
    metric=MetricCard(
        name="accuracy",
        formula="accuracy",
        arrays={"prediction": "guess", "label": "truth"},
        how_gamed="easier items",
    ),
    contrast=Contrast(form="paired", treatment="treated", control="plain", smallest_effect=0.01),
    trials_per_arm=3,
    stopping_rule="none",
    exclusions="none",
    controls=Controls(positive="none: a test", negative="none: a test"),
    decision_table=[],
)
SPECS = [
    TrialSpec(index=2 * i + j, arm=arm.name, seed=100 + i)
    for i in range(PLAN.trials_per_arm)
    for j, arm in enumerate(PLAN.arms)
]


def trial(spec, guess, status="ok", **more):
    return {
        "index": spec.index,
        "arm": spec.arm,
        "seed": spec.seed,
        "status": status,
        "seconds": 0.5,
        "cpu_seconds": 0.25,
        "data_sha256": None,
        "data_note": None,
        "values": {"truth": [1, 1, 1, 1]} if status == "ok" else {},
        "arrays": f"arrays/{spec.index}.json" if status == "ok" else None,
        "error": None if status == "ok" else "Traceback …\nValueError: bad luck",
    } | more


def run_files(hits, skip=(), fail=()):
    """Files of a run in which trial i guesses `hits[i]` of four right."""
    files, lines = {}, []
    for spec, hit in zip(SPECS, hits, strict=True):
        if spec.index in skip:
            continue
        lines.append(trial(spec, hit, "error" if spec.index in fail else "ok"))
        files[f"arrays/{spec.index}.json"] = json.dumps({"guess": [1] * hit + [0] * (4 - hit)}).encode()
    files["trials.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in reversed(lines))
    return files


HITS = [3, 1, 4, 2, 4, 1]


def test_compute_from_raw_arrays():
    computed = compute(PLAN, SPECS, {**run_files(HITS), "artifacts/model.bin": b"\xff" * 100})
    assert [arm.values for arm in computed.arms] == [[0.75, 1.0, 1.0], [0.25, 0.5, 0.25]]
    assert computed.contrast.per_seed == [0.5, 0.5, 0.75]
    assert computed.contrast.outcome == "positive"
    assert [value.value for value in computed.trials] == [h / 4 for h in HITS]
    assert computed.trials[0].seconds == 0.5


def test_the_same_files_give_the_same_bytes():
    first, second = (compute(PLAN, SPECS, run_files(HITS)) for _ in range(2))
    assert first.contrast.model_dump_json() == second.contrast.model_dump_json()
    assert first == second


def controlled(**bounds):
    """`PLAN` with one control, on the arrays of the metric unless others are named."""
    check = ControlCheck(**{"role": "negative", "arm": "plain", **bounds})
    return PLAN.model_copy(update={"controls": PLAN.controls.model_copy(update={"checks": [check]})})


@pytest.mark.parametrize(
    ("bounds", "mean", "passed"),
    [
        ({"high": 0.34}, 1 / 3, True),
        ({"high": 0.33}, 1 / 3, False),
        ({"low": 0.34}, 1 / 3, False),
        ({"low": 0.3, "high": 0.35}, 1 / 3, True),
        ({"arm": "treated", "minus": "plain", "low": 0.5}, 7 / 12, True),
        ({"arm": "treated", "minus": "plain", "high": 0.5}, 7 / 12, False),
        ({"arrays": {"prediction": "truth", "label": "truth"}, "low": 1, "high": 1}, 1, True),
    ],
)
def test_a_control_is_the_mean_of_its_arm_within_its_bounds(bounds, mean, passed):
    [result] = compute(controlled(**bounds), SPECS, run_files(HITS)).controls
    assert (result.n, result.passed) == (3, passed)
    assert result.mean == pytest.approx(mean)


def test_a_control_whose_array_no_trial_returns_gives_no_result():
    plan = controlled(arrays={"prediction": "absent", "label": "truth"}, low=0)
    with pytest.raises(InvalidInput, match="absent"):
        compute(plan, SPECS, run_files(HITS))


def test_what_trials_return_is_named_and_counted():
    [first, *_] = compute(PLAN, SPECS, run_files(HITS)).trials
    assert (first.names, first.rows) == (("guess", "truth"), 4)


def test_secondary_contrasts_come_with_their_correction():
    other = SecondaryContrast(
        id="S1", form="paired", treatment="plain", control="treated", smallest_effect=0.01
    )
    [result] = compute(PLAN.model_copy(update={"secondary": [other]}), SPECS, run_files(HITS)).secondary
    assert result.per_seed == [-0.5, -0.5, -0.75]
    assert result.p_holm == result.p_permutation == pytest.approx(0.25)
    assert result.outcome == "inconclusive"  # three seeds cannot give a smaller p


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (run_files(HITS, skip=[3]), r"trial 3 \(arm plain, seed 101\) has no line in trials\.jsonl"),
        (run_files(HITS, fail=[2]), r"trial 2 \(arm treated, seed 101\) failed: .*ValueError: bad luck"),
        ({}, r"trials\.jsonl is missing"),
        ({**run_files(HITS), "arrays/1.json": b'{"guess": [1, NaN]}'}, r"arrays/1\.json: NaN is not"),
        ({**run_files(HITS), "arrays/1.json": b'{"other": [1]}'}, r"trial 1 .* returned no guess; .* other"),
        ({**run_files(HITS), "arrays/1.json": b'{"guess": [1]}'}, r"trial 1 .*guess has shape \(1,\)"),
    ],
)
def test_files_that_are_not_what_they_must_be(files, message):
    with pytest.raises(InvalidInput, match=message):
        compute(PLAN, SPECS, files)


def test_arms_must_have_been_issued_the_same_seeds():
    odd = [*SPECS[:-1], SPECS[-1].model_copy(update={"seed": 7})]
    files = run_files(HITS)
    files["trials.jsonl"] = files["trials.jsonl"].replace(b'"plain", "seed": 102', b'"plain", "seed": 7')
    with pytest.raises(InvalidInput, match="arm plain was not issued the same seeds"):
        compute(PLAN, odd, files)


def test_recompute_values_compares_repetitions():
    first = recompute_values(PLAN.metric, SPECS, run_files(HITS))
    again = recompute_values(PLAN.metric, SPECS[:2], run_files([3, 2, *HITS[2:]]) | only(SPECS[:2], [3, 2]))
    assert again[0].raw_sha256 == first[0].raw_sha256
    assert again[1].raw_sha256 != first[1].raw_sha256
    assert [value.value for value in again] == [0.75, 0.5]


def only(specs, hits):
    lines = [trial(spec, hit) for spec, hit in zip(specs, hits, strict=True)]
    return {"trials.jsonl": b"".join(json.dumps(line).encode() + b"\n" for line in lines)}


def test_recompute_values_tolerates_trials_that_did_not_end():
    values = recompute_values(PLAN.metric, SPECS, run_files(HITS, skip=[0], fail=[1]))
    assert values[0].value is None
    assert values[0].seconds is None
    assert (values[1].value, values[1].raw_sha256, values[1].seconds) == (None, None, 0.5)
    assert values[2].value == 1.0
    assert {value.value for value in recompute_values(PLAN.metric, SPECS, {})} == {None}


def send(files, *, seconds, memory):
    """A request with limits of its own, straight to the worker."""
    request = worker._Request(
        metric=PLAN.metric,
        issued=SPECS,
        files=[(path, len(data)) for path, data in files.items()],
        held={},
        seconds=seconds,
        memory=memory,
    )
    data = request.model_dump_json().encode() + b"\n" + b"".join(files.values())
    return json.loads(worker._run(data, seconds))


def test_too_much_memory_is_the_files_fault():
    files = run_files(HITS)
    assert send(files, seconds=60, memory=400 * 2**20)["error"] is None
    files["arrays/0.json"] = b'{"guess": [' + b"[]," * 8_000_000 + b"[]]}"
    assert "need more than 400 MB" in send(files, seconds=60, memory=400 * 2**20)["error"]


def test_a_worker_that_does_not_end_is_killed():
    with pytest.raises(AutoresearchError, match="within 0 s"):
        send(run_files(HITS), seconds=0, memory=2**30)


def test_worker_that_dies_says_so():
    with pytest.raises(AutoresearchError, match="analysis process ended with code 1: "):
        worker._run(b"{}\n", 60)


def test_no_key_reaches_the_worker(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary")
    assert "ANTHROPIC_API_KEY" not in worker.ENVIRONMENT
    # PYTHON* variables are ignored too: with this one honoured, it could not even start.
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    assert compute(PLAN, SPECS, run_files(HITS)).contrast.n == 3


def test_steps_can_import_it_without_heavy_libraries():
    code = (
        "import sys, autoresearch.analysis.worker, autoresearch.analysis.contrasts, "
        "autoresearch.forecasting.scores, autoresearch.forecasting.surprise, autoresearch.forecasting.belief, "
        "autoresearch.reporting.figure;"
        "print([m for m in ('numpy', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


EXPERIMENT = """
import numpy as np

def run_trial(arm, seed, config, data):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 40)
    guess = np.where(rng.random(40) < config[arm], truth, 1 - truth)
    return {"guess": guess, "truth": truth, "right": guess == truth}
"""


def test_reads_what_the_harness_writes(tmp_path):
    (tmp_path / "in" / "experiment").mkdir(parents=True)
    (tmp_path / "in" / "experiment" / "experiment.py").write_text(EXPERIMENT)
    job = {
        "trials": [spec.model_dump() for spec in SPECS],
        "config": {"treated": 0.9, "plain": 0.6},
        "parallel": 2,
    }
    (tmp_path / "in" / "job.json").write_text(json.dumps(job))
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(
        [sys.executable, str(HARNESS), str(tmp_path / "in"), str(out)],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
    )
    files = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    computed = compute(PLAN, SPECS, files)
    assert computed.contrast.n == 3
    assert all(0 <= v.value <= 1 for v in computed.trials)
    right = PLAN.metric.model_copy(update={"formula": "mean", "arrays": {"x": "right"}})
    assert [v.value for v in recompute_values(right, SPECS, files)] == [v.value for v in computed.trials]
