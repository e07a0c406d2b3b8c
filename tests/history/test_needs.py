"""A project whose proposal names an environment and data: taken in, bound, replayed, verified."""

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.input_store import InputStore
from autoresearch.cli.start import Choices, start_project
from autoresearch.cli.take_in import take_in
from autoresearch.errors import BackEndMissing, InvalidInput
from autoresearch.records import Approval, Plan, Proposal
from autoresearch.testing import PERSON, FakeSandbox, FixedEntropy
from autoresearch.testing_project import STILL, TextDesk, drive, shifted
from autoresearch.verify import verify

LOCK = b"tinypackage==1.0 --hash=sha256:" + b"a" * 64 + b"\n"
BLOCK = """```yaml
environment: requirements.lock
inputs:
  - {name: train, path: data/train.csv}
```

"""


@pytest.fixture
def proposal(tmp_path, quick):
    """The small study with a lock and a file of data beside it."""
    folder = tmp_path / "written"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.csv").write_text("1,2\n")
    (folder / "requirements.lock").write_bytes(LOCK)
    path = folder / "study.md"
    path.write_text(quick.read_text().replace("## Experiment\n\n", f"## Experiment\n\n{BLOCK}"))
    return path


@pytest.fixture
def project(tmp_path, proposal):
    root = start_project(proposal, tmp_path / "project", Choices(), FixedEntropy(), PERSON)
    ledger = GitLedger(root, STILL)
    yield ledger
    ledger.close()


def bodies(ledger, kind):
    return [entry.record.body for entry in ledger.entries() if isinstance(entry.record.body, kind)]


def giving():
    return FakeSandbox(shifted, gives_needs=True)


def test_what_is_taken_in_is_bound_by_the_approval_and_derived_again(project, proposal, again):
    sandbox = giving()
    ending = drive(project, ["approve", "accept"], sandbox=sandbox)
    assert ending.standing == "accepted"
    (taken,), (plan,), (approval,) = (bodies(project, kind) for kind in (Proposal, Plan, Approval))
    assert taken.inputs == plan.inputs
    assert [(item.name, item.path, item.files, item.size) for item in plan.inputs] == [
        ("train", "data/train.csv", 1, 4)
    ]
    assert approval.bundle.inputs == {"train": plan.inputs[0].sha256}
    assert plan.environment.lock.path == "environment/requirements.lock"
    first = sandbox.submitted[0]
    assert (first.needs.lock, list(first.needs.inputs)) == (LOCK, plan.inputs)
    head = project.head()
    for path in ("requirements.lock", "cycles/01/attempt-1/environment/requirements.lock"):
        assert project.read(path, head) == LOCK
    assert InputStore(project.inputs_dir).place(plan.inputs[0].sha256).read_text() == "1,2\n"
    assert verify(project).sound, verify(project).lines()
    number, _, scratch = again(project.root)
    assert (number, scratch.head()) == (len(project.entries()), head)


def test_a_sandbox_that_cannot_give_it_stops_before_anybody_is_asked(project):
    with pytest.raises(BackEndMissing, match=r"environment requirements\.lock and data train"):
        drive(project, ["approve"], sandbox=FakeSandbox(shifted))
    assert bodies(project, Approval) == []


def test_changed_data_are_a_changed_proposal(project, proposal, again):
    store = InputStore(project.inputs_dir)
    before = bodies(project, Proposal)[0]
    (proposal.parent / "data" / "train.csv").write_text("3,4\n")
    written = take_in(before.text, "proposal.md", proposal.parent, store)
    assert written.text == before.text
    assert not written.same_as(before)
    desk = TextDesk(project, [written])
    drive(project, [("revise", "other data, please"), "approve", "accept"], sandbox=giving(), desk=desk)
    plans = bodies(project, Plan)
    assert [plan.inputs[0].sha256 for plan in plans] == [before.inputs[0].sha256, written.inputs[0].sha256]
    assert verify(project).sound, verify(project).lines()
    assert again(project.root)[2].head() == project.head()


def test_data_stay_as_taken_in_where_the_original_is_out_of_reach(project, proposal):
    before = bodies(project, Proposal)[0]
    store = InputStore(project.inputs_dir)
    written = take_in(before.text, "proposal.md", project.root, store, before=before)
    assert written.same_as(before)
    with pytest.raises(InvalidInput, match=r"train\.csv does not exist"):
        take_in(before.text, "proposal.md", project.root, store)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "requirements.lock").unlink(), "cannot be read: No such file"),
        (lambda folder: (folder / "requirements.lock").write_text("# c\nx==1\n"), "requirements.lock:2: `x==1` has no hash"),
        (lambda folder: (folder / "data" / "train.csv").unlink(), "input train: .*does not exist"),
    ],
)  # fmt: skip
def test_nothing_is_made_from_what_cannot_be_taken_in(tmp_path, proposal, harm, said):
    harm(proposal.parent)
    with pytest.raises(InvalidInput, match=said):
        start_project(proposal, tmp_path / "project", Choices(), FixedEntropy(), PERSON)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["written"]


def test_a_free_form_proposal_names_them_in_a_marked_block(tmp_path, proposal):
    text = f"# A question\n\nDoes it matter?\n\n{BLOCK.replace('yaml', 'yaml experiment')}"
    written = take_in(text, "p.md", proposal.parent, InputStore(tmp_path / "store"))
    assert [item.name for item in written.inputs] == ["train"]
    assert written.lock == LOCK
