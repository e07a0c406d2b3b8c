"""What the tests of the graph share: a project in one process, and its proposal with one thing changed."""

from pathlib import Path

import pytest

from autoresearch.testing_project import make_project

QUICK = (Path(__file__).parents[1] / "data" / "quick.md").read_text()
TABLE = """
## Decision table

```yaml
- {outcome: positive, conclusion: It moves upwards., supports: [H1], refutes: [R1]}
- {outcome: negative, conclusion: It moves downwards., refutes: [H1, R1]}
- {outcome: negligible, conclusion: It stays., supports: [R1], refutes: [H1]}
- {outcome: inconclusive, conclusion: Nobody can tell., supports: [R1]}
```
"""


class Texts:
    """The small study, whole and with one section changed."""

    whole = QUICK + TABLE
    other_question = whole.replace("Which way does the mean", "In which direction does the mean")
    other_plan = whole.replace("stopping_rule: fixed number", "stopping_rule: a fixed number")
    other_wording = whole.replace("It moves upwards.", "The mean moves upwards.")
    other_predictions = whole.replace("[0.8, 1.0, 1.2]", "[0.7, 1.0, 1.3]")


@pytest.fixture(scope="session")
def texts():
    changed = {name for name in vars(Texts) if name.startswith("other")}
    assert all(getattr(Texts, name) != Texts.whole for name in changed)
    return Texts


@pytest.fixture
def project(tmp_path, texts):
    ledger = make_project(tmp_path / "project", texts.whole)
    yield ledger
    ledger.close()


def summary(ledger):
    """`kind cycle.attempt` of every record."""
    return [f"{e.record.kind} {e.record.cycle}.{e.record.attempt}" for e in ledger.entries()]


@pytest.fixture
def story():
    return summary
