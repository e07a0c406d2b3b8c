import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def load(name):
    """A module of this directory: tests are not a package."""
    known = f"gate_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, HERE / f"{name}.py")
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


@pytest.fixture(scope="session")
def stages(tmp_path_factory):
    return load("bench").make_stages(tmp_path_factory.mktemp("stages"))


@pytest.fixture
def bench(stages, tmp_path):
    made = []

    def at(stage):
        ledger = load("bench").opened(Path(shutil.copytree(stages / stage, tmp_path / "project")))
        made.append(ledger)
        return load("bench").Bench(ledger)

    yield at
    for ledger in made:
        ledger.close()
