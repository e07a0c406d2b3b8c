"""Heads written down elsewhere: a history that was cut back or rebuilt no longer holds them."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from autoresearch.adapters.anchor_file import AnchorFile
from autoresearch.anchor import ANCHORED, Anchored, read_anchors, with_anchor
from autoresearch.errors import InvalidInput
from autoresearch.testing_project import TextDesk, drive
from autoresearch.verify import verify

PROJECT = "0" * 31 + "1"
WHEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def written(*heads, text=""):
    """A file's text with a line for each (head, records)."""
    for head, records in heads:
        text += with_anchor(text, PROJECT, Anchored(WHEN, records, head))
    return text


TWO = written(("a" * 40, 3), ("b" * 40, 5))


def anchored(root, file, *args):
    code = "import sys; from autoresearch.cli.main import main; sys.argv = ['autoresearch', *sys.argv[1:]]; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "verify", "--anchor", str(file), *args],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip


# ------------------------------------------------------------------ the file


def test_what_is_written_is_read_again():
    found = read_anchors(TWO, PROJECT)
    assert [(a.head, a.records, a.when, a.line) for a in found] == [
        ("a" * 40, 3, WHEN, 2), ("b" * 40, 5, WHEN, 3),
    ]  # fmt: skip
    assert with_anchor(TWO, PROJECT, Anchored(WHEN, 5, "b" * 40)) == "", "the same head is not added twice"


def lines(change):
    made = TWO.splitlines(keepends=True)
    change(made)
    return "".join(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TWO[:-1], "last line is cut off"),
        (TWO[: len(TWO) - 30], "last line is cut off"),
        (TWO[:-2] + "\n", "line 3 is no anchor"),
        (lines(lambda made: made.pop(1)), "line 2 does not continue"),
        (lines(lambda made: made.reverse()), "no file of anchors"),
        (TWO.replace("3 records", "4 records"), "line 3 does not continue"),
        (TWO.replace("a" * 40, "c" * 40), "line 3 does not continue"),
        (TWO.replace("2026-03-01", "2026-02-31"), "no such date"),
        (TWO.replace(PROJECT, "f" * 32), "anchors another project"),
        (TWO + "\n", "line 4 is no anchor"),
        ("\n", "no file of anchors"),
        ("{}\n", "no file of anchors"),
        ("\x1b[2J" * 20 + "\n", "no file of anchors"),
    ],
)  # fmt: skip
def test_a_file_that_somebody_wrote_in_is_named_by_its_line(text, said):
    with pytest.raises(InvalidInput, match=said):
        read_anchors(text, PROJECT)


def test_bytes_that_are_no_text_are_an_error_and_the_file_stays(tmp_path):
    place = tmp_path / "anchors"
    place.write_bytes(b"\xff\x00")
    file = AnchorFile(place, tmp_path / "project", PROJECT)
    for act in (file.anchors, lambda: file.add(Anchored(WHEN, 1, "a" * 40))):
        with pytest.raises(InvalidInput, match="no text"):
            act()
    assert place.read_bytes() == b"\xff\x00"


def test_a_file_in_the_project_is_refused(tmp_path):
    root = tmp_path / "project"
    (root / "notes").mkdir(parents=True)
    (tmp_path / "link").symlink_to(root / "notes" / "anchors")
    for place in (
        root / "anchors",
        root / ".git" / "anchors",
        root / "x" / ".." / "anchors",
        tmp_path / "link",
    ):
        with pytest.raises(InvalidInput, match="name a file outside"):
            AnchorFile(place, root, PROJECT)
    with pytest.raises(InvalidInput, match="no ordinary file"):
        AnchorFile(tmp_path, root, PROJECT)


# --------------------------------------------------------------- the history


@pytest.fixture
def kept(copy, tmp_path):
    """A project that was anchored at its end."""
    file = tmp_path / "anchors"
    done = anchored(copy, file)
    assert done.returncode == 0, done.stderr
    return file


def test_the_head_is_added_once_and_found_again(copy, kept, opened):
    head = opened(copy).head()
    assert head in kept.read_text()
    again = anchored(copy, kept, "--json")
    assert again.returncode == 0
    assert "anchored already" in again.stderr
    assert kept.read_text().count(head) == 1


def test_a_history_that_grew_still_holds_it(copy, kept, opened, add_note):
    (anchor,) = read(kept)
    add_note(copy, "another thought\n")
    found = verify(opened(copy), [anchor])
    assert found.sound
    assert {row.name: row.looked_at for row in found.rows}[ANCHORED] == 1
    assert "behind the last anchored head" in found.blind_spots


def read(file):
    text = file.read_text()
    return read_anchors(text, text.split("\n")[0].split()[-1])


def test_a_history_cut_back_is_caught_and_not_anchored(copy, kept, git):
    before = kept.read_bytes()
    git(copy, "reset", "-q", "--hard", "HEAD~3")
    done = anchored(copy, kept)
    assert done.returncode == 1
    assert "✗ every head anchored before is still in this history" in done.stdout
    assert "is gone: history was cut back or rebuilt" in done.stdout
    assert kept.read_bytes() == before


def test_a_history_cut_back_and_gone_on_with_is_caught(rewrite, place, kept, copy):
    """Another decision in the place of the first: every digest is right, and one head is missing."""
    ledger = rewrite(lambda snaps: snaps[: place("acceptance")[0]])

    def model_for(spec):
        return None if spec == "none" else object()  # what it wrote is on record, so nobody asks it

    drive(ledger, [("reject", "no")], desk=TextDesk(ledger), model_for=model_for)
    assert verify(ledger).sound, "without the anchor nothing gives it away"
    found = verify(ledger, read(kept))
    assert [row.name for row in found.rows if not row.ok] == [ANCHORED]


def test_a_history_rebuilt_whole_with_forged_dates_is_caught(forge, kept):
    """One number other from the first on, every digest, message and date as they would have been."""

    def change(record):
        if record["kind"] == "check":
            record["body"]["contrast"]["estimate"] += 0.25

    forged = forge(change)
    assert verify(forged).sound
    assert not verify(forged, read(kept)).sound


def test_a_head_with_another_number_of_records_before_it_is_caught(copy, kept, opened):
    (anchor,) = read(kept)
    found = verify(opened(copy), [replace(anchor, records=anchor.records - 1)])
    (row,) = [row for row in found.rows if not row.ok]
    assert row.problems[0].endswith(f"had {anchor.records - 1} records up to it and has {anchor.records}")


def test_a_broken_file_is_an_error_of_its_own(copy, kept):
    kept.write_text(kept.read_text()[:-5])
    done = anchored(copy, kept)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"autoresearch: {kept}: its last line is cut off; take the file from where you keep a copy\n"
    )
    assert done.stdout == ""
