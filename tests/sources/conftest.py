import pytest


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "sources"
    made.mkdir()
    return made
