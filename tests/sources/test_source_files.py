"""What lies in sources/: taken in as text with digests, and refused by name where it is not what it may be."""

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from autoresearch.adapters.source_files import LARGEST_FILE, MOST_FILES, read_sources
from autoresearch.adapters.source_worker import (
    MOST_ENTRIES,
    MOST_PAGES,
    UNCONFINED,
    WORKER,
    entries_of_bib,
    text_of_pdf,
)
from autoresearch.errors import AutoresearchError, BackEndMissing, InvalidInput
from pdfs import pdf

BIB = r"""
% a comment
@string{nips = "NeurIPS"}
@article{smith2020, author = {Smith, J{\"o}rg and Doe, Ann}, title={A {B}ig  thing}, year=2020,
  journal=nips, doi={https://doi.org/10.1234/abc}}
@misc{jones:2001, title={Unread}, eprint={2001.00001}, archivePrefix={arXiv}}
"""


def taken(folder):
    found = read_sources(folder)
    return {source.id: source for source in found.sources}, found.texts


def test_each_kind_of_file_becomes_text_with_two_digests(folder):
    originals = {
        "smith2020.pdf": pdf("Shifts were seen", "and counted"),
        "Own notes, part 1.md": b"\xef\xbb\xbf# Notes\r\nhere\n",
        "plain.TXT": "Grüße\n".encode(),
        "refs.bib": BIB.encode(),
        ".DS_Store": b"\0",
    }
    for name, data in originals.items():
        (folder / name).write_bytes(data)
    sources, texts = taken(folder)
    assert set(sources) == {"smith2020", "Own-notes-part-1", "plain", "jones:2001"}
    for source in sources.values():
        assert source.sha256 == hashlib.sha256(originals[source.path]).hexdigest()
        assert source.size == len(originals[source.path])
        if source.text is not None:
            assert source.text.sha256 == hashlib.sha256(texts[source.text.path]).hexdigest()
    assert texts["sources/Own-notes-part-1.txt"] == b"# Notes\nhere\n"
    assert b"Shifts were seen" in texts["sources/smith2020.txt"]
    assert b"and counted" in texts["sources/smith2020.txt"]
    assert sources["smith2020"].original == "pdf"
    assert (
        sources["smith2020"].reference
        == "Smith, Jörg and Doe, Ann (2020). A Big thing. NeurIPS. doi:10.1234/abc"
    )
    assert sources["jones:2001"].text is None
    assert sources["jones:2001"].reference == "Unread. arXiv:2001.00001"


def test_a_file_is_the_text_of_the_entry_whose_key_its_name_can_spell(folder):
    (folder / "refs.bib").write_text(BIB)
    (folder / "jones-2001.txt").write_text("read after all\n")
    sources, _ = taken(folder)
    assert set(sources) == {"smith2020", "jones:2001"}
    assert sources["jones:2001"].text.path == "sources/jones-2001.txt"


def test_no_directory_is_no_sources(tmp_path):
    assert read_sources(tmp_path / "sources").sources == []


def test_what_was_taken_in_stays_and_what_lies_there_now_comes_first(folder):
    (folder / "a.txt").write_text("first\n")
    before = read_sources(folder).sources
    (folder / "a.txt").unlink()
    (folder / "b.txt").write_text("second\n")
    after = read_sources(folder, before)
    assert [source.id for source in after.sources] == ["a", "b"]
    assert set(after.texts) == {"sources/b.txt"}, "the text of the other is in the project"
    (folder / "a.txt").write_text("changed\n")
    assert read_sources(folder, before).texts["sources/a.txt"] == b"changed\n"


# ------------------------------------------------------------------ what is refused


def write(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def two(one, other, data=b"x\n"):
    def make(folder):
        (folder / one).write_bytes(data)
        (folder / other).write_bytes(data)

    return make


def link_out(folder):
    (folder.parent / "secret.txt").write_text("a secret\n")
    (folder / "paper.txt").symlink_to("../secret.txt")


def huge(folder):
    with (folder / "huge.pdf").open("wb") as file:
        file.truncate(2**30)


def encrypted():
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def many(folder):
    for number in range(MOST_FILES + 1):
        (folder / f"{number}.txt").write_text("x\n")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (link_out, r"sources/paper\.txt cannot be taken in: a link"),
        (lambda folder: (folder / "more").mkdir(), r"sources/more is a directory"),
        (lambda folder: os.mkfifo(folder / "pipe.txt"), r"sources/pipe\.txt is no regular file"),
        (huge, r"sources/huge\.pdf has more than 30 MB"),
        (many, f"at most {MOST_FILES}"),
        (write("run.py", b"x"), r"sources/run\.py is none of"),
        (write("noending", b"x"), r"sources/noending is none of"),
        (write("---.txt", b"x\n"), "no letter or digit"),
        (write("latin.txt", "Grüße".encode("latin-1")), r"sources/latin\.txt is not UTF-8: byte 2"),
        (write("empty.md", b" \n"), "is empty"),
        (write("long.txt", b"x" * 1_000_001), "at most 1000000"),
        (two("Smith.txt", "smith.md"), r"sources/smith\.md: smith stands in sources/Smith\.txt, too"),
        (two("a b.txt", "a-b.md"), "stands in"),
        (two("a.bib", "b.bib", b"@misc{k, title={x}}"), r"sources/b\.bib: k stands in sources/a\.bib, too"),
        (write("broken.pdf", b"%PDF-1.4\nnothing"), r"sources/broken\.pdf cannot be read as PDF"),
        (write("no.pdf", b"a text"), r"sources/no\.pdf cannot be read as PDF"),
        (write("scan.pdf", pdf("")), r"sources/scan\.pdf holds no text \(a scan\?\)"),
        (write("locked.pdf", encrypted()), r"sources/locked\.pdf is encrypted"),
        (write("dup.bib", b"@misc{k, title={x}}\n@misc{k, title={y}}"), r"sources/dup\.bib line 2: the key k stands twice"),
        (write("bad.bib", b"\n@misc{k, title={x\n@misc{l, title={y}}"), r"sources/bad\.bib line 2: cannot be read"),
        (write("key.bib", "@misc{müller, title={x}}".encode()), r"line 1: the key 'm\\xfcller' cannot be cited"),
        (write("tricky.bib", b"@misc{../../etc, title={x}}"), "cannot be cited"),
        (write("bytes.bib", b"\xff"), r"sources/bytes\.bib is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_not_taken_in_is_named(folder, make, says):
    make(folder)
    with pytest.raises(InvalidInput, match=says):
        read_sources(folder)


def test_the_directory_itself_is_no_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sources").symlink_to("elsewhere")
    with pytest.raises(InvalidInput, match="links are not followed"):
        read_sources(tmp_path / "sources")


# -------------------------------------------------------------- hostile PDFs and .bib files


def test_a_gigabyte_is_refused_before_it_is_read(folder):
    huge(folder)
    began = time.monotonic()
    with pytest.raises(InvalidInput):
        read_sources(folder)
    assert time.monotonic() - began < 10
    assert LARGEST_FILE < 2**30


def test_a_stream_that_unpacks_to_a_gigabyte_is_refused():
    bomb = pdf("x", stream=b"BT /F1 12 Tf (a) Tj ET " + b" " * 2**28)
    assert len(bomb) < 10**6
    with pytest.raises(InvalidInput, match=r"bomb\.pdf"):
        text_of_pdf(bomb, "bomb.pdf")


def test_a_page_that_is_named_a_million_times_is_refused():
    with pytest.raises(InvalidInput, match=f"at most {MOST_PAGES}"):
        text_of_pdf(pdf("x", kids="4 0 R " * (MOST_PAGES + 1)), "pages.pdf")


def test_a_tree_of_pages_that_bites_its_tail_is_refused():
    with pytest.raises(InvalidInput, match=r"loop\.pdf (cannot be read as PDF|holds no text)"):
        text_of_pdf(pdf("x", kids="2 0 R"), "loop.pdf")


def test_what_takes_too_long_is_ended():
    with pytest.raises(InvalidInput, match=r"slow\.pdf could not be read within 0\.01 s"):
        text_of_pdf(pdf("x"), "slow.pdf", seconds=0.01)


def test_more_entries_than_may_be_are_refused():
    data = "".join(f"@misc{{k{n}, title={{x}}}}\n" for n in range(MOST_ENTRIES + 1))
    with pytest.raises(InvalidInput, match=f"at most {MOST_ENTRIES}"):
        entries_of_bib(data.encode(), "refs.bib")


def test_deep_braces_are_no_crash():
    deep = b"@misc{k, title={" + b"{" * 50_000 + b"x" + b"}" * 50_000 + b"}}"
    with pytest.raises(InvalidInput, match=r"deep\.bib"):
        entries_of_bib(deep, "deep.bib")


def test_a_module_of_the_directory_it_is_started_in_is_not_the_reader(monkeypatch, tmp_path):
    (tmp_path / "pypdf.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert "x" in text_of_pdf(pdf("x"), "a.pdf")


# ------------------------------------------------------ a reader that the file has taken over

HOSTILE = Path(__file__).with_name("hostile_reader.py")


@pytest.fixture
def place(tmp_path):
    for name in ("secret.txt", "renamed", "deleted"):
        (tmp_path / name).write_text("canary-4711\n")
    return tmp_path


def hostile(how, place):
    return (sys.executable, "-I", str(HOSTILE), how, str(place))


def test_a_reader_that_a_file_has_taken_over_can_only_answer(place, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-4712")
    said = text_of_pdf(b"the file", "taken.pdf", worker=hostile("confined", place)).splitlines()
    assert said[0] == "b'the file'"
    assert "API_KEY" not in said[1]
    assert "canary" not in "".join(said)
    assert len(said) > 20
    # 9: there is no descriptor to duplicate.
    assert {line.rpartition(": ")[2] for line in said[2:]} <= {"refused 1", "refused 9"}, said
    assert sorted(path.name for path in place.iterdir()) == ["deleted", "renamed", "secret.txt"]


def test_the_same_attacks_work_without_confinement(place):
    done = subprocess.run(hostile("plain", place), capture_output=True, text=True, check=True, env={})
    assert {line.rpartition(": ")[2] for line in done.stdout.splitlines()[1:]} == {"worked"}, done.stdout


def test_a_reader_cannot_fill_the_disk_or_the_supervisors_memory(place):
    with pytest.raises(AutoresearchError, match=r"loud\.pdf gave no usable reply: OSError.*File too large"):
        text_of_pdf(b"", "loud.pdf", worker=hostile("flood", place))


def test_a_reply_beyond_the_bounds_is_not_believed(place):
    with pytest.raises(AutoresearchError, match=r"liar\.pdf gave no usable reply: text"):
        text_of_pdf(b"", "liar.pdf", worker=hostile("lie", place))


def test_without_confinement_nothing_is_read():
    # An empty filter is what a kernel refuses that knows none.
    done = subprocess.run([*WORKER, "pdf"], input=b"\n" + pdf("x"), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (UNCONFINED, b"")
    assert b"this kernel sets no filter of system calls" in done.stderr


def test_a_machine_that_cannot_confine_is_told_so(place):
    cannot = ("/bin/sh", "-c", f"cat >/dev/null; echo no such filter >&2; exit {UNCONFINED}")
    with pytest.raises(
        BackEndMissing, match=r"a\.pdf is not read: no such filter; put its text there as \.txt"
    ):
        text_of_pdf(b"", "a.pdf", worker=cannot)
