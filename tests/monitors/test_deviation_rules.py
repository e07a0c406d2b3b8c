"""Each departure from a plan is found, and its clean twin is not one."""

from dataclasses import replace

import pytest

from autoresearch.analysis.worker import TrialValue
from autoresearch.door import issue_trials
from autoresearch.monitors.deviation_rules import (
    RULES,
    DeviationInputs,
    Earlier,
    Elsewhere,
    Unfinished,
    changed_files,
    deviations,
    made_data,
)
from autoresearch.proposal import parse_proposal
from autoresearch.records import (
    DataInput,
    HostFacts,
    Isolation,
    MadeData,
    Plan,
    Result,
    Run,
    TrialSpec,
    digest_of,
    file_ref,
)
from autoresearch.template import template
from autoresearch.testing import FAKE_ISOLATION, approved_job

MAIN = "experiment/experiment.py"
APPROVAL = approved_job({"experiment/experiment.py": b""}, FAKE_ISOLATION)[1].approval.record.body


class Study:
    """The template's plan, its run, and what came of it; tests spoil one thing at a time."""

    def __init__(self):
        parsed = parse_proposal(template())
        self.files = dict(parsed.files)
        refs = [file_ref(path, data) for path, data in parsed.files.items()]
        self.plan = Plan(**{**parsed.plan.model_dump(), "trials_per_arm": 5}, experiment=refs)
        self.issued = None
        self.spoilt = {}
        self.earlier, self.unfinished, self.elsewhere = [], [], []

    def change(self, **fields):
        self.plan = Plan.model_validate({**self.plan.model_dump(), **fields})

    def seen(self, **fields):
        """Attempt 1 had a result, of a plan that differs in `fields`."""
        before = Plan.model_validate({**self.plan.model_dump(), **fields})
        self.earlier = [Earlier(1, before, dict(self.files))]

    def trial(self, arm, **fields):
        self.spoilt[arm] = fields

    def found(self):
        digest = digest_of(self.plan)
        issued = self.issued or issue_trials(APPROVAL, digest, self.plan)
        values = [
            TrialValue(
                **{
                    "index": spec.index, "value": 0.5, "raw_sha256": "0" * 64, "seconds": 1.0, "cpu_seconds": 1.0,
                    "names": ("better", "picked"), "rows": 2000, **self.spoilt.get(spec.arm, {}),
                }
            )
            for spec in issued
        ]  # fmt: skip
        run = Run(approval="0" * 64, trials=issued, run_id="r", host="Linux", probe=None)
        given = DeviationInputs(
            self.plan,
            digest,
            self.files,
            run,
            APPROVAL,
            RESULT,
            values,
            self.earlier,
            self.unfinished,
            self.elsewhere,
        )
        return deviations(given)


RESULT = Result(
    status="Completed", why="all ended", run="0" * 64,
    isolation=Isolation(tier="docker", image="i", policy_sha256="0" * 64, harness_sha256="0" * 64, engine="e"),
    probe=None, facts=HostFacts(exit_code=0, wall_seconds=1, cpu_seconds=1, peak_memory_mb=1, out_of_memory=False,
    timed_out=False, output_truncated=False, started_at=None, ended_at=None), trials_issued=10, trials_completed=10,
    trials=None,
)  # fmt: skip


@pytest.fixture
def study():
    return Study()


def swap(study, old, new):
    """Change the code after attempt 1's result had been seen."""
    metric = {**study.plan.metric.model_dump(), "name": "another"}
    study.seen(metric=metric)
    text = study.files[MAIN].decode()
    assert old in text
    study.files[MAIN] = text.replace(old, new).encode()


def issued(study, change):
    study.issued = change(issue_trials(APPROVAL, digest_of(study.plan), study.plan))


def others(study, **fields):
    """Another study had the result: nothing of its design is this one's."""
    study.seen(metric={**study.plan.metric.model_dump(), "name": "another"}, **fields)


def reseeded(specs):
    return [specs[0].model_copy(update={"seed": specs[0].seed + 1}), *specs[1:]]


def renamed(specs):
    return [spec.model_copy(update={"arm": "mode"}) if spec.arm == "median" else spec for spec in specs]


def made_before(study, before, now, different=1):
    """Attempt 1 was given `before` for each of five seeds, or `different` sets of which it was one."""
    others(study)
    made = MadeData(seeds=5, different=different, sha256=digest_of([before]), note=None)
    study.earlier = [replace(study.earlier[0], data=made)]
    for arm in study.plan.arms:
        study.trial(arm.name, data_sha256=now)


DATA = DataInput(name="d", path="d.csv", sha256="0" * 64, files=1, size=1)
CONTRAST = {"form": "paired", "treatment": "mean", "control": "median", "smallest_effect": 0.01}

FAULTS = {
    "names that differ": ("deviation.metric-set", "block", lambda s: s.trial("mean", names=("picked",))),
    "another metric": ("deviation.metric-set", "warn", others),
    "a trial too few": ("deviation.trials", "block", lambda s: issued(s, lambda specs: specs[:-1])),
    "a trial that did not end": ("deviation.trials", "block", lambda s: s.trial("mean", value=None)),
    "a seed of one's own": ("deviation.seeds", "block", lambda s: issued(s, reseeded)),
    "another arm": ("deviation.arms", "block", lambda s: issued(s, renamed)),
    "another comparison": ("deviation.arms", "warn", lambda s: s.seen(contrast=CONTRAST)),
    "rows left out": ("deviation.exclusions", "block", lambda s: s.trial("mean", rows=1990)),
    "rows left out by a rule": (
        "deviation.exclusions",
        "warn",
        lambda s: (s.change(exclusions="Ties are left out"), s.trial("mean", rows=1990)),
    ),
    "another exclusion": ("deviation.exclusions", "warn", lambda s: others(s, exclusions="Ties")),
    "a second look": ("deviation.stopping", "block", lambda s: s.seen()),
    "another number of trials": ("deviation.stopping", "warn", lambda s: others(s, trials_per_arm=4)),
    "a look that the parent had": ("deviation.stopping", "block", lambda s: s.elsewhere.append(Elsewhere("attempt 1 of project p", True, False))),
    "a plan changed in a fork": ("deviation.forked", "warn", lambda s: s.elsewhere.append(Elsewhere("attempt 1 of project p", False, True))),
    "a run that broke off": ("deviation.reruns", "info", lambda s: s.unfinished.append(Unfinished(1, "Crashed", 3))),
    "a run that was lost": ("deviation.reruns", "warn", lambda s: s.unfinished.append(Unfinished(1, "Lost", 0))),
    "a run that broke off at once": ("deviation.reruns", "info", lambda s: s.unfinished.append(Unfinished(1, "Crashed", 0))),
    "another code": ("deviation.analysis-code", "warn", lambda s: swap(s, "axis=2), axis=1", "axis=2), axis=-1")),
    "other data": ("deviation.data", "warn", lambda s: others(s, inputs=[DATA.model_dump()])),
    "another configuration": ("deviation.data", "warn", lambda s: others(s, config={"pairs": 1})),
    "unequal effort": ("deviation.arm-compute", "warn", lambda s: s.trial("median", seconds=4.0)),
    "unequal effort of the CPU": ("deviation.arm-compute", "warn", lambda s: s.trial("median", cpu_seconds=4.0)),
    "arms that were given different data": (
        "deviation.data",
        "block",
        lambda s: (s.trial("mean", data_sha256="1" * 64), s.trial("median", data_sha256="2" * 64)),
    ),
    "data for one arm only": ("deviation.data", "block", lambda s: s.trial("mean", data_sha256="1" * 64)),
    "other rows": ("deviation.data", "warn", lambda s: made_before(s, "1" * 64, "2" * 64)),
    "another hypothesis": (
        "deviation.hypotheses",
        "warn",
        lambda s: others(s, hypotheses=[{**h.model_dump(), "prior": 0.1} for h in s.plan.hypotheses]),
    ),
}  # fmt: skip


def test_every_rule_has_a_fault():
    assert {rule for rule, _, _ in FAULTS.values()} == {rule.name for rule in RULES}


def test_a_plan_that_was_kept_has_no_deviation(study):
    assert study.found() == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_departure_is_found_with_when_it_became_known(study, fault):
    rule, severity, spoil = FAULTS[fault]
    spoil(study)
    found = [d for d in study.found() if d.check == rule]
    assert [d.severity for d in found] == [severity]
    assert found[0].known


@pytest.mark.parametrize("fault", FAULTS)
def test_only_what_changed_after_a_result_makes_it_exploratory(study, fault):
    FAULTS[fault][2](study)
    after = {d.check for d in study.found() if "changed after the result of attempt 1" in d.explanation}
    assert {d.check for d in study.found() if d.exploratory} == after


TWINS = {
    "a comment": lambda s: swap(s, "    rng = ", "    # drawn once\n    rng = "),
    "a docstring": lambda s: swap(s, "Pick one of two answers", "Choose one of two answers"),
    "layout": lambda s: swap(s, 'config["pairs"], config["graders"]', '(config["pairs"], config["graders"])'),
}


@pytest.mark.parametrize("twin", TWINS)
def test_words_and_layout_are_no_change_of_code(study, twin):
    TWINS[twin](study)
    assert study.files != study.earlier[0].files
    assert "deviation.analysis-code" not in {d.check for d in study.found()}


def test_make_data_is_data_and_not_analysis():
    before = {MAIN: b"def make_data(seed, config):\n    return {'n': 1}\n\ndef run_trial(a):\n    return 1\n"}
    after = {MAIN: before[MAIN].replace(b"'n': 1", b"'n': 2")}
    assert changed_files(before, after) == []
    assert changed_files(before, {MAIN: before[MAIN].replace(b"return 1", b"return 2")}) == [MAIN]


def test_rows_that_differ_between_seeds_alone_are_no_exclusion(study):
    """Each seed draws its own number of items; its arms share them."""
    study.spoilt = {}
    digest = digest_of(study.plan)
    specs = issue_trials(APPROVAL, digest, study.plan)
    values = [
        TrialValue(index=s.index, value=0.5, raw_sha256="0" * 64, seconds=1.0, names=("x",), rows=s.seed % 7)
        for s in specs
    ]
    run = Run(approval="0" * 64, trials=specs, run_id="r", host="Linux", probe=None)
    assert deviations(DeviationInputs(study.plan, digest, study.files, run, APPROVAL, RESULT, values)) == []


def test_the_third_look_says_what_three_looks_do(study):
    study.seen()
    study.earlier = [study.earlier[0], Earlier(2, study.plan, dict(study.files))]
    [found] = study.found()
    assert "look 3" in found.explanation
    assert "14 %" in found.explanation


@pytest.mark.parametrize(
    "taken", [{"seconds": 1.9}, {"cpu_seconds": 1.9}, {"seconds": 1.9, "cpu_seconds": 1.9}]
)
def test_a_little_more_time_is_the_machines(study, taken):
    study.trial("median", **taken)
    assert study.found() == []


def test_threads_that_run_side_by_side_are_effort_all_the_same(study):
    study.trial("median", seconds=1.0, cpu_seconds=8.0)
    [found] = study.found()
    assert "a trial of median takes 8 s of CPU and one of mean 1 s of CPU" in found.explanation


@pytest.mark.parametrize(
    ("before", "different"), [("2" * 64, 1), ("1" * 64, 5)], ids=["the same set", "a set of its own a seed"]
)
def test_data_that_are_the_same_or_follow_the_seed_are_no_change(study, before, different):
    made_before(study, before, "2" * 64, different)
    assert "deviation.data" not in {d.check for d in study.found()}


def test_what_was_made_is_counted_by_seed():
    specs = [TrialSpec(index=2 * n + m, arm="ab"[m], seed=n) for n in range(3) for m in range(2)]
    digests = ["1" * 64, "1" * 64, "2" * 64, "2" * 64, None, None]
    trials = [
        TrialValue(
            index=n, value=1, raw_sha256="0" * 64, seconds=1, data_sha256=d, data_note="" if d else "odd"
        )
        for n, d in enumerate(digests)
    ]
    made = made_data(specs, trials)
    assert (made.seeds, made.different, made.note) == (2, 2, "odd")
    assert made.sha256 == digest_of(["1" * 64, "2" * 64])
    assert made_data(specs[:4], trials[:4]).note is None
    assert (
        made_data(specs, [TrialValue(index=n, value=1, raw_sha256="0" * 64, seconds=1) for n in range(6)])
        is None
    )
