"""`replay` makes a history again and names the first thing that does not follow from what came before."""

import contextlib
import re
import shutil
import subprocess
import sys

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.errors import AutoresearchError, LedgerError
from autoresearch.records import Settings
from autoresearch.replay import DivergedError
from autoresearch.testing_project import STILL, TextDesk, drive, make_project
from autoresearch.verify import verify


def test_everything_is_derived_again_to_the_same_commits(finished, again, opened):
    number, made, scratch = again(finished)
    assert number == len(made) == len(opened(finished).entries())
    assert all(derived.differences == () for derived in made)
    assert scratch.head() == opened(finished).head()


def test_a_persons_notes_are_repeated(finished, again):
    _, _, scratch = again(finished)
    assert scratch.read("notes/mine.txt", scratch.head()) == b"a thought\n"
    assert "a note of my own\n" in [commit.message for commit in scratch.commits()]


def test_a_project_under_way_is_derived_up_to_where_it_stands(rewrite, place, copy, again):
    ledger = rewrite(lambda snaps: snaps[: place("check")[0]])
    number, _, scratch = again(copy)
    assert number == len(ledger.entries())
    assert scratch.head() == ledger.head()


def test_a_number_changed_with_every_digest_is_found_by_deriving_it(forge, again):
    def change(record):
        if record["kind"] == "check":
            record["body"]["contrast"]["estimate"] += 0.25

    forged = forge(change)
    assert verify(forged).sound, "no digest gives it away"
    with pytest.raises(DivergedError, match="check in") as caught:
        again(forged.root)
    (difference,) = caught.value.derived.differences
    assert difference.path == "body.contrast.estimate"
    assert float(difference.recorded) == float(difference.derived) + 0.25


def test_a_decision_changed_with_every_digest_is_found_by_what_followed_from_it(forge, again):
    """Decisions are taken from the history; the report that they led to is not."""

    def change(record):
        if record["kind"] == "acceptance":
            record["body"] |= {"decision": "reject", "reason": "never said"}
            record["body"]["claims"] = dict.fromkeys(record["body"]["claims"], "reject")

    forged = forge(change)
    assert verify(forged).sound
    with pytest.raises(DivergedError, match="report in") as caught:
        again(forged.root)
    paths = [difference.path for difference in caught.value.derived.differences]
    assert any(path.startswith("body.pages[") for path in paths)
    assert any(path.startswith("report.md line ") for path in paths)


def test_a_decision_that_leads_elsewhere_is_found_by_the_record_it_does_not_lead_to(forge, again):
    def change(record):
        if record["kind"] == "acceptance":
            record["body"] |= {"decision": "revise", "reason": "never said", "claims": {}}

    with pytest.raises(AutoresearchError):
        again(forge(change).root)


def test_a_models_reply_changed_with_every_digest_is_found(forge, again):
    def change(record):
        if record["kind"] == "critique":
            record["body"]["objections"][0]["answer"] = "None is needed."

    forged = forge(change)
    rows = {row.name for row in verify(forged).rows if not row.ok}
    assert rows == {"every run follows an approval at once, with issued seeds"}, "seeds follow from the plan"
    with pytest.raises(DivergedError, match="critique in"):
        again(forged.root)


def test_trials_moved_from_arm_to_arm_are_no_history_at_all(forge, again):
    def change(record):
        if record["kind"] == "run":
            record["body"]["trials"].reverse()

    with pytest.raises((DivergedError, LedgerError)):
        again(forge(change).root)


class StopsBefore(GitLedger):
    """A ledger whose process is interrupted just before the commit of one kind of record."""

    kind = ""

    def append(self, record, files, **more):
        if record.kind == self.kind:
            raise AutoresearchError("interrupted")
        return super().append(record, files, **more)


def test_settings_changed_at_any_point_of_the_work(tmp_path, quick, again):
    """Interrupted after any step, autoresearch.toml edited, and on: the replay comes by the same way."""
    root = tmp_path / "project"
    make_project(root, quick.read_text()).close()
    stops = {
        "critique": [],
        "prediction": [],
        "approval": ["approve"],
        "check": ["approve"],
        "acceptance": ["accept"],
    }
    for number, (kind, decisions) in enumerate([*stops.items(), ("", ["accept"])], 2):
        ledger = StopsBefore(root, STILL)
        ledger.kind = kind
        desk = TextDesk(ledger, changed=Settings(max_attempts=number))
        with contextlib.nullcontext() if not kind else pytest.raises(AutoresearchError, match="interrupted"):
            drive(ledger, decisions, desk=desk)
        kinds, head = [entry.record.kind for entry in ledger.entries()], ledger.head()
        ledger.close()
    assert [kinds[at - 1] for at, kind in enumerate(kinds) if kind == "config"] == [
        "proposal", "ideas", "plan", "preflight", "result", "monitoring",
    ]  # fmt: skip
    number, _, scratch = again(root)
    assert (number, scratch.head()) == (len(kinds), head)


# ----------------------------------------------------------------- the command


def run_replay(root):
    code = "import sys; from autoresearch.cli.main import main; sys.argv = ['autoresearch', 'replay']; main()"
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)


def test_the_command_ends_with_the_head_it_reached(finished, opened):
    head = opened(finished).head()
    done = run_replay(finished)
    assert done.returncode == 0, done.stderr
    assert "✗" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith(f"each equal to the recorded one; head {head}")
    assert opened(finished).head() == head


def test_the_command_works_in_a_clone_that_has_no_journal(finished, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(finished, clone)
    shutil.rmtree(clone / ".git" / "autoresearch")
    assert run_replay(clone).returncode == 0


def test_the_command_names_the_first_difference_and_ends_with_1(forge):
    def change(record):
        if record["kind"] == "check":
            record["body"]["contrast"]["estimate"] += 0.25

    done = run_replay(forge(change).root)
    assert done.returncode == 1
    assert "✗ 1.2 check" in done.stdout
    assert re.search(r"    body\.contrast\.estimate\n +recorded  [\d.]+\n +derived   [\d.]+\n", done.stdout)
    assert "Traceback" not in done.stderr
