"""A study that a scripted server writes, to make as often as a test likes."""

import pytest
from scripted_study import Study, scripted

from autoresearch.testing_http import ScriptedMessagesServer


@pytest.fixture
def study(tmp_path):
    """(script, what `Study` takes) → a study in `tmp_path`."""
    studies = []

    def make(script=scripted, **more):
        server = ScriptedMessagesServer(script)
        server.__enter__()
        studies.append(Study(tmp_path / "project", server, **more))
        return studies[-1]

    yield make
    for each in studies:
        each.ledger.close()
        each.server.__exit__(None, None, None)
