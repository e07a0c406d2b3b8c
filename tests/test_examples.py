"""The shipped studies parse, hold together, and run under the harness as their plans promise.

Nothing here computes a primary contrast: that is for the seeds that a project draws.
"""

import ast
import json
import os
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from autoresearch import assets
from autoresearch.analysis.metrics import metric_value
from autoresearch.analysis.trials import parse_trials, raw_values
from autoresearch.experiment_code import MAIN
from autoresearch.proposal import ParsedProposal, parse_proposal
from autoresearch.records import OUTCOMES, TrialSpec

EXAMPLES = ("goodhart", "label-noise")
SEEDS = (770001, 770002)


@dataclass(frozen=True)
class Ran:
    """One run of the harness over every arm and `SEEDS`."""

    proposal: ParsedProposal
    values: dict[tuple[str, int], dict]
    """(arm, seed) → what the trial returned."""
    raw: dict[str, bytes]
    """`arrays/…` as written."""


def proposal_of(name: str) -> ParsedProposal:
    return parse_proposal((assets.examples() / name / "proposal.md").read_text(encoding="utf-8"))


def experiment_of(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(compile(proposal_of(name).files[MAIN], f"{name}/experiment.py", "exec"), module.__dict__)
    return module


def run_harness(proposal: ParsedProposal, directory: Path) -> dict[str, bytes]:
    """Every arm and seed, two at a time; the files that the harness left."""
    given, out = directory / "in", directory / "out"
    for path, data in proposal.files.items():
        (given / path).parent.mkdir(parents=True, exist_ok=True)
        (given / path).write_bytes(data)
    job = {
        "trials": [spec.model_dump() for spec in issued(proposal)],
        "config": proposal.plan.config,
        "parallel": 2,
    }
    (given / "job.json").write_text(json.dumps(job))
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(assets.sandbox() / "harness.py"), str(given), str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def issued(proposal: ParsedProposal) -> list[TrialSpec]:
    pairs = [(arm.name, seed) for seed in SEEDS for arm in proposal.plan.arms]
    return [TrialSpec(index=i, arm=arm, seed=seed) for i, (arm, seed) in enumerate(pairs)]


@pytest.fixture(scope="module", params=EXAMPLES)
def ran(request, tmp_path_factory) -> Ran:
    proposal = proposal_of(request.param)
    files = run_harness(proposal, tmp_path_factory.mktemp(request.param))
    trials = parse_trials(files, issued(proposal)).trials
    values = {(trial.arm, trial.seed): raw_values(trial, files) for trial in trials}
    return Ran(proposal, values, arrays_in(files))


def arrays_in(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.startswith("arrays/")}


def test_every_example_is_tested_and_has_a_readme():
    shipped = {path.parent.name for path in assets.examples().glob("*/proposal.md")}
    assert shipped == set(EXAMPLES)
    for name in EXAMPLES:
        readme = (assets.examples() / name / "README.md").read_text(encoding="utf-8")
        assert readme.startswith(f"# {name}\n")
        assert f"autoresearch demo {name}" in readme


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_section_is_left_out(name):
    assert proposal_of(name).missing == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_outcome_has_one_row_that_agrees_with_the_hypotheses(name):
    proposal = proposal_of(name)
    rows = {row.outcome: row for row in proposal.plan.decision_table}
    assert set(rows) == set(OUTCOMES)
    for hypothesis in proposal.plan.hypotheses:
        assert {o for o, row in rows.items() if hypothesis.id in row.supports} == set(hypothesis.expects)
        assert {o for o, row in rows.items() if hypothesis.id in row.refutes} == set(hypothesis.refuted_by)


@pytest.mark.parametrize("name", EXAMPLES)
def test_rivals_differ_and_their_priors_leave_room(name):
    proposal = proposal_of(name)
    assert len(proposal.rivals) >= 2
    expected = [tuple(h.expects) for h in proposal.plan.hypotheses]
    assert len(set(expected)) == len(expected)
    assert sum(h.prior for h in proposal.plan.hypotheses) < 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_proxy_can_teach_something_but_not_much(name):
    proxy = proposal_of(name).proxy
    assert proxy is not None
    assert 1.2 <= proxy.ceiling <= 2
    assert len(proxy.disanalogies) >= 3


@pytest.mark.parametrize("name", EXAMPLES)
def test_forecasts_cover_contrast_and_outcome_and_agree(name):
    proposal = proposal_of(name)
    primary = next(f for f in proposal.predictions if f.primary)
    assert (primary.about, primary.shape) == ("contrast", "quantile")
    outcome = next(f for f in proposal.predictions if f.about == "outcome")
    assert outcome.categories is not None
    assert max(outcome.categories.values()) <= 0.8, "the outcome is meant to be uncertain"
    for forecast in proposal.predictions:
        if forecast.about == f"contrast > {proposal.plan.contrast.smallest_effect:g}":
            above = primary.quantiles[1] > proposal.plan.contrast.smallest_effect
            assert (forecast.p > 0.5) == above


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_experiment_imports_numpy_and_nothing_else(name):
    tree = ast.parse(proposal_of(name).files[MAIN])
    imported = [
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert imported == ["numpy"]


def test_every_trial_yields_the_metric_within_its_range(ran):
    card = ran.proposal.plan.metric
    assert len(ran.values) == len(SEEDS) * len(ran.proposal.plan.arms)
    for (arm, seed), values in ran.values.items():
        value = metric_value(card, values, f"{arm} {seed}")
        assert card.low <= value <= card.high


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(ran, tmp_path):
    assert arrays_in(run_harness(ran.proposal, tmp_path)) == ran.raw
    for arm in ran.proposal.plan.arms:
        first, second = (ran.values[arm.name, seed] for seed in SEEDS)
        assert first != second


@pytest.mark.parametrize("ran", ["goodhart"], indirect=True)
def test_goodhart_arms_share_answers_and_the_controls_hold(ran):
    for seed in SEEDS:
        arms = [ran.values[arm, seed] for arm in ("single", "mean-of-4", "worst-of-4")]
        controls = ("control_light_error", "control_heavy_error")
        assert all(arm[name] == arms[0][name] for arm in arms for name in controls)
        assert arms[1]["length_weights"] == arms[2]["length_weights"]
        assert [len(arm["length_weights"]) for arm in arms] == [1, 4, 4]
        exponents, light, heavy = (arms[0][name] for name in ("log2_n", *controls))
        # Clearly higher, not higher by the chance of one pool.
        assert light[exponents.index(13)] > light[exponents.index(8)] + 0.2
        assert exponents[heavy.index(max(heavy))] < 10
        assert heavy[-1] < max(heavy)


@pytest.mark.parametrize("ran", ["goodhart"], indirect=True)
def test_goodhart_curves_start_together(ran):
    # The best of one is a random answer, whatever selects.
    for seed in SEEDS:
        starts = [ran.values[arm.name, seed]["gold_curve"][0] for arm in ran.proposal.plan.arms]
        assert starts == pytest.approx([starts[0]] * 3, abs=1e-9)


@pytest.mark.parametrize("ran", ["label-noise"], indirect=True)
def test_label_noise_arms_get_the_noise_they_name_and_the_controls_hold(ran):
    for seed in SEEDS:
        of = {arm.name: ran.values[arm.name, seed] for arm in ran.proposal.plan.arms}
        assert of["clean"]["wrong_labels"] == 0
        assert of["majority-wrong"]["wrong_labels"] == pytest.approx(0.6, abs=0.06)
        shared = {
            of[f"{kind}-{length}"]["wrong_labels"]
            for kind in ("uniform", "structured")
            for length in ("short", "long")
        }
        assert len(shared) == 1
        assert shared.pop() == pytest.approx(0.3, abs=0.06)
        assert abs(sum(of["clean"]["gap"]) / len(of["clean"]["gap"])) < 0.05
        assert sum(of["majority-wrong"]["gap"]) / len(of["majority-wrong"]["gap"]) > 0.1
        assert min(of["uniform-long"]["train_fit"], of["structured-long"]["train_fit"]) > 0.9


# ------------------------------------------------ the parts, against direct computation


def test_best_of_n_equals_counting_every_draw():
    experiment = experiment_of("goodhart")
    score, gold = np.array([0.3, 2.0, -1.0, 0.7]), np.array([5.0, 1.0, 7.0, -2.0])
    draws = [(i, j) for i in range(4) for j in range(4)]
    expected = np.mean([gold[max(draw, key=lambda k: score[k])] for draw in draws])
    [curve] = experiment.best_of_n([score], gold, np.array([0.0, 1.0, 10.0]))
    assert curve == pytest.approx([gold.mean(), expected, 1.0])


def test_a_reward_model_recovers_weights_that_it_can_express():
    experiment = experiment_of("goodhart")
    rng = np.random.default_rng(5)
    truth, differences = np.array([1.0, -0.5, 0.2]), rng.normal(size=(40_000, 3))
    preferred = (rng.random(40_000) < 1 / (1 + np.exp(-differences @ truth))).astype(float)
    assert experiment.fit(differences, preferred, 1.0) == pytest.approx(truth, abs=0.05)


def test_length_helps_up_to_its_peak_and_hurts_beyond():
    experiment, config = experiment_of("goodhart"), proposal_of("goodhart").plan.config
    answers = np.zeros((4, 12))
    answers[:, 8] = [0, 1, 2, 1]  # length
    answers[3, 9:] = 50  # style
    quality = experiment.true_quality(answers, np.full(8, 8**-0.5), config)
    assert quality == pytest.approx([-0.4, 0, -0.4, 0])


def test_the_lowest_score_counts_in_worst_of_4_and_the_mean_in_mean_of_4():
    combine = experiment_of("goodhart").combine
    scores = np.array([[0.0, 0.0], [3.0, -1.0]])
    assert combine("worst-of-4", scores).tolist() == [0, -1]
    assert combine("mean-of-4", scores).tolist() == [0, 1]
    assert combine("single", scores[:, :1]).tolist() == [0, 3]


def test_structured_errors_go_to_the_next_class_and_uniform_ones_anywhere():
    experiment = experiment_of("label-noise")
    labels = np.repeat(np.arange(8), 4000)
    for noise, shifts in (("structured", {1}), ("uniform", set(range(1, 8)))):
        setting = {"noise": noise, "rate": 0.3}
        moved = (experiment.corrupt(labels, setting, 8, np.random.default_rng(3)) - labels) % 8
        assert set(moved[moved > 0].tolist()) == shifts
        assert (moved > 0).mean() == pytest.approx(0.3, abs=0.01)


def test_gradients_equal_finite_differences():
    experiment = experiment_of("label-noise")
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=shape) for shape in ((3, 5), (5,), (5, 4), (4,))]
    x, targets = rng.normal(size=(6, 3)), np.eye(4)[rng.integers(4, size=6)]

    def loss() -> float:
        return -np.mean(np.sum(targets * np.log(experiment.predict(weights, x)[1]), axis=1))

    for matrix, gradient in zip(weights, experiment.gradients(weights, x, targets), strict=True):
        for index in np.ndindex(matrix.shape):
            kept = matrix[index]
            matrix[index] = kept + 1e-6
            above = loss()
            matrix[index] = kept - 1e-6
            slope = (above - loss()) / 2e-6
            matrix[index] = kept
            assert gradient[index] == pytest.approx(slope, abs=1e-6)
