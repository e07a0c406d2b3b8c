"""Data that are not what their seed says are found, in the run and when trials run again."""

import pytest

from autoresearch.errors import Pending
from autoresearch.records import Check, Conclusion, digest_of
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import drive, shifted


def checked(project, made):
    """Check and conclusion of a run whose trials were given the data that `made` has the digest of."""
    with pytest.raises(Pending):
        drive(project, ["approve"], sandbox=FakeSandbox(shifted, made=made))
    bodies = [entry.record.body for entry in project.entries()]
    return next(b for b in bodies if isinstance(b, Check)), next(
        b for b in bodies if isinstance(b, Conclusion)
    )


def test_data_that_follow_the_seed_are_recorded_and_owe_nothing(project):
    check, conclusion = checked(project, lambda _run, _arm, seed: digest_of(seed))
    assert check.data.seeds == check.data.different == check.contrast.n
    assert {again.same_data for again in check.rechecks} == {True, None}
    assert [again.fresh for again in check.rechecks if again.same_data is None] == [True, True]
    assert not [found for found in [*check.deviations, *check.findings] if found.severity == "block"]
    assert {claim.grade for claim in conclusion.claims} == {"E2"}


def test_a_seed_that_gives_other_data_when_it_runs_again_blocks_and_lowers_the_grade(project):
    check, conclusion = checked(project, lambda run, _arm, seed: digest_of([run, seed]))
    assert {again.same_bytes for again in check.rechecks} == {True, None}, "the values do not show it"
    assert [(f.check, f.severity) for f in check.findings] == [("check.recheck-differs", "block")]
    assert {claim.grade for claim in conclusion.claims} == {"E1"}


def test_arms_that_are_given_different_data_are_a_deviation(project):
    check, _ = checked(project, lambda _run, arm, seed: digest_of([arm, seed]))
    assert [(d.check, d.severity) for d in check.deviations] == [("deviation.data", "block")]
