"""What `replay --experiments` says of a trial that ran again."""

import pytest

from autoresearch.cli.rerun import verdict_on
from autoresearch.records import RecheckTrial, TrialSpec


@pytest.mark.parametrize(
    ("fresh", "same", "value", "before", "verdict"),
    [
        (False, True, 0.5, 0.5, "equal"),
        (True, None, 0.7, None, "fresh seed"),
        (False, False, 0.5 * (1 + 9e-7), 0.5, "close"),
        (False, False, 0.5 * (1 + 2e-6), 0.5, "DIFFERS"),
        (False, False, -0.5, 0.5, "DIFFERS"),
        (False, False, 1e-9, 0.0, "DIFFERS"),
        (False, False, None, 0.5, "DIFFERS"),
        (False, False, 0.5, None, "DIFFERS"),
    ],
)
def test_verdict(fresh, same, value, before, verdict):
    trial = RecheckTrial(trial=TrialSpec(index=0, arm="a", seed=1), fresh=fresh, same_bytes=same, value=value)
    assert verdict_on(trial, before) == verdict


def test_other_data_under_the_same_seed_differ_whatever_came_of_them():
    spec = TrialSpec(index=0, arm="a", seed=1)
    trial = RecheckTrial(trial=spec, fresh=False, same_bytes=True, same_data=False, value=0.5)
    assert verdict_on(trial, 0.5) == "DIFFERS"
    assert verdict_on(trial.model_copy(update={"same_data": True}), 0.5) == "equal"
