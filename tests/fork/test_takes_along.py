"""What a fork needs and git does not hold comes along: data, large outputs, what was read of sources."""

import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.input_store import InputStore
from autoresearch.cli.desk import WorkTreeDesk
from autoresearch.cli.start import Choices, start_project
from autoresearch.errors import Pending
from autoresearch.records import Plan, Proposal, Settings
from autoresearch.settings_in_force import proposal_in_force
from autoresearch.testing import PERSON, FakeSandbox, FixedEntropy
from autoresearch.testing_project import STILL, ScriptedReviewer, TextDesk, drive, shifted
from autoresearch.verify import verify

LOCK = b"tinypackage==1.0 --hash=sha256:" + b"a" * 64 + b"\n"
BLOCK = """```yaml
environment: requirements.lock
inputs:
  - {name: train, path: data/train.csv}
```

"""
QUICK = Path(__file__).parents[1] / "data" / "quick.md"
SMALL = Settings(artifact_limit_mb=0.0002)
"""What the trials left is larger."""


def giving():
    return FakeSandbox(shifted, gives_needs=True)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A project with an environment, data, a source and outputs too large to commit, to its report."""
    top = tmp_path_factory.mktemp("brings")
    written = top / "written"
    for path, data in {
        "data/train.csv": b"1,2\n",
        "requirements.lock": LOCK,
        "sources/old.md": b"# Shifts\n",
    }.items():
        (written / path).parent.mkdir(parents=True, exist_ok=True)
        (written / path).write_bytes(data)
    proposal = written / "study.md"
    proposal.write_text(QUICK.read_text().replace("## Experiment\n\n", f"## Experiment\n\n{BLOCK}"))
    root = start_project(proposal, top / "project", Choices(), FixedEntropy(), PERSON)
    with closing(GitLedger(root, STILL)) as ledger:
        drive(ledger, ["approve", "accept"], sandbox=giving(), desk=TextDesk(ledger, changed=SMALL))
        yield ledger


def kept_aside(ledger):
    return {
        ref.sha256: ref
        for entry in ledger.entries()
        for ref in entry.record.body.files()
        if not ref.committed
    }


def go_on(ledger, decisions):
    """With the real desk: nothing that lies beside the proposal there was changed."""
    sandbox, reviewer = giving(), ScriptedReviewer()
    with suppress(Pending):
        drive(ledger, decisions, sandbox=sandbox, desk=WorkTreeDesk(ledger, reviewer))
    return sandbox


def test_a_fork_runs_on_the_same_data_environment_and_sources(
    parent, typed, opened, replayed, sound, tmp_path
):
    said = typed("-C", parent.root, "fork", "preflight", tmp_path / "fork")
    assert "not in this clone" not in said
    forked = opened(GitLedger(tmp_path / "fork", STILL))
    shared = len(forked.entries())
    sandbox = go_on(forked, ["approve", ("accept", "a second look, and called one")])
    kinds = [entry.record.kind for entry in forked.entries()[shared:]]
    assert kinds[:2] == ["approval", "run"], "no proposal: it is the same, though its originals are not here"
    assert kinds[-1] == "report"
    (job,) = [job for job in sandbox.submitted if job.needs.inputs][:1]
    plan = next(e.record.body for e in reversed(forked.entries()) if isinstance(e.record.body, Plan))
    assert (job.needs.lock, list(job.needs.inputs)) == (LOCK, plan.inputs)
    assert InputStore(forked.inputs_dir).place(plan.inputs[0].sha256).read_text() == "1,2\n"
    body = proposal_in_force(forked.entries(), 1, 2).record.body
    assert isinstance(body, Proposal)
    assert [source.id for source in body.sources] == ["old"]
    assert kept_aside(forked), "its own outputs are as large: the settings came along"
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_outputs_too_large_to_commit_are_there_and_are_read(parent, typed, opened, replayed, sound, tmp_path):
    typed("-C", parent.root, "fork", "experiment", tmp_path / "fork")
    forked = opened(GitLedger(tmp_path / "fork", STILL))
    large = kept_aside(forked)
    assert large
    assert all(forked.stored(sha256).read() == parent.stored(sha256).read() for sha256 in large)
    go_on(forked, ["accept"])
    assert forked.entries()[-1].record.kind == "report"
    sound(forked)
    assert verify(forked).unseen == ()
    assert replayed(forked)[0] == forked.head()


def test_what_a_clone_lacks_is_named_and_the_fork_verifies(parent, typed, opened, sound, tmp_path):
    subprocess.run(["git", "clone", "-q", parent.root, tmp_path / "clone"], check=True)
    said = typed("-C", tmp_path / "clone", "fork", "experiment", tmp_path / "fork")
    forked = opened(GitLedger(tmp_path / "fork", STILL))
    large = kept_aside(forked)
    assert large
    for ref in large.values():
        assert f"not in this clone, so not in the fork: {ref.path} ({ref.sha256[:12]})" in said
    assert "not in this clone, so not in the fork: data train" in said
    sound(forked)
    assert len(verify(forked).unseen) == len(large)
