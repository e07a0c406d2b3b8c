"""The filter on what leaves a sandbox: names, kinds, counts and sizes. It writes under names of our own only."""

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoresearch import jobs
from autoresearch.adapters.docker_outputs import read_outputs
from autoresearch.contents import bytes_of
from autoresearch.errors import InvalidInput, SandboxFailed
from autoresearch.ports import Job
from autoresearch.records import ResourceLimits, TrialSpec

LIMITS = ResourceLimits(output_mb=1)


def tar(*members, fmt=tarfile.PAX_FORMAT):
    """Members are (name, data) or TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=fmt) as archive:
        archive.addfile(entry("out", kind=tarfile.DIRTYPE))
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                archive.addfile(entry(member[0], size=len(member[1])), io.BytesIO(member[1]))
    return buffer.getvalue()


def entry(name, *, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def read(data, limits=LIMITS, chunk=1000):
    return read_chunks((data[n : n + chunk] for n in range(0, len(data), chunk)), limits)


def read_chunks(chunks, limits=LIMITS):
    """The outputs, with what was written to disk read back."""
    with tempfile.TemporaryDirectory() as into:
        got = read_outputs(chunks, limits, Path(into))
        places = [held.place for held in got.files.values()]
        assert sorted(Path(into).iterdir()) == sorted(places), "nothing else is written"
        assert all(place.parent == Path(into) and place.name.isdigit() for place in places)
        got.files = {path: bytes_of(held) for path, held in got.files.items()}
        return got


def test_takes_the_three_kinds_of_output():
    files = {"trials.jsonl": b"{}\n", "arrays/0.json": b"{}", "artifacts/fig/a.png": b"\x89PNG"}
    got = read(tar(*((f"out/{name}", data) for name, data in files.items())))
    assert got.files == files
    assert got.refused == []
    assert not got.truncated


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("other.txt", "only trials.jsonl"),
        ("trials.jsonl/x", "only trials.jsonl"),
        ("artifacts", "only trials.jsonl"),
        ("artifacts/.git/config", "mean something to git"),
        ("artifacts/.GitAttributes", "mean something to git"),
        ("artifacts/GIT~1/config", "mean something to git"),
        ("artifacts/harmless/HEAD", "mean something to git"),
        ("artifacts/harmless/head", "mean something to git"),
        ("artifacts/.hidden", "names consist"),
        ("artifacts/-rf", "names consist"),
        ("artifacts/a b", "names consist"),
        ("artifacts/\u202egnp.exe", "names consist"),
        ("artifacts/a\x1b[2J", "names consist"),
        ("artifacts/a\n", "names consist"),
        ("artifacts/..", "names consist"),
        ("artifacts/../../etc/passwd", "names consist"),
        ("artifacts//a", "names consist"),
        ("artifacts/a/b/c/d/e/f", "deeper"),
        ("artifacts/" + "a" * 200, "longer"),
        ("artifacts/" + "a" * 101, "names consist"),
    ],
)
def test_refuses_a_name(path, reason):
    got = read(tar((f"out/{path}", b"x"), ("out/trials.jsonl", b"kept")))
    assert got.files == {"trials.jsonl": b"kept"}
    assert reason in got.refused[0]
    assert got.refused[0].isascii()
    assert got.refused[0].isprintable()


@pytest.mark.parametrize("name", ["/etc/passwd", "../out/artifacts/a", "out2/artifacts/a", "artifacts/a"])
def test_refuses_what_does_not_lie_in_out(name):
    got = read(tar((name, b"x")))
    assert got.files == {}
    assert len(got.refused) == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "second name"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.CONTTYPE, "not a regular file"),
        (b"Z", "not a regular file"),
    ],
)
def test_refuses_what_is_not_a_regular_file(kind, reason):
    odd = entry("out/artifacts/passwd", kind=kind, link="/etc/passwd")
    got = read(tar(odd, ("out/artifacts/a", b"kept")))
    assert got.files == {"artifacts/a": b"kept"}
    assert reason in got.refused[0]


def test_refuses_a_sparse_file():
    odd = entry("out/artifacts/sparse")
    odd.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "4000000000"}
    data = b"1\n0\n4000000000\n".ljust(512, b"\0")
    odd.size = len(data)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(odd, io.BytesIO(data))
    assert "artifacts/sparse" not in read(buffer.getvalue()).files


def test_the_first_of_two_files_with_one_name_stays():
    got = read(tar(("out/artifacts/a", b"first"), ("out/artifacts/a", b"second")))
    assert got.files == {"artifacts/a": b"first"}
    assert "came before" in got.refused[0]


def test_stops_at_the_limit_without_reading_on():
    given_out = []

    def chunks():
        data = tar(
            ("out/artifacts/a", bytes(700_000)),
            ("out/artifacts/b", bytes(700_000)),
            ("out/artifacts/c", b"c"),
        )
        for n in range(0, len(data), 10_000):
            given_out.append(n)
            yield data[n : n + 10_000]

    got = read_chunks(chunks())
    assert list(got.files) == ["artifacts/a"]
    assert got.truncated
    assert len(given_out) < 80


def test_exactly_the_limit_is_not_truncated():
    got = read(tar(("out/artifacts/a", bytes(2**20))))
    assert len(got.files["artifacts/a"]) == 2**20
    assert not got.truncated


def test_an_endless_refused_file_is_not_read_to_its_end():
    def chunks():
        yield entry("out/.hidden", size=2**40).tobuf()
        yield from (bytes(2**20) for _ in range(1000))
        raise AssertionError("read on")

    assert read_chunks(chunks()).truncated


def test_the_end_of_a_file_that_cannot_be_there_is_not_looked_for():
    # tarfile would step through its 2**62 bytes, a block at a time, in a stream that ended.
    refused, taken = (entry(f"out/{name}", size=2**62).tobuf() for name in (".hidden", "artifacts/a"))
    for stream in (refused, taken):
        got = read(stream)
        assert (got.truncated, got.files) == (True, {})


def test_too_many_files():
    members = [(f"out/artifacts/f{n}", b"") for n in range(jobs.MOST_FILES + 1)]
    got = read(tar(*members), chunk=2**20)
    assert len(got.files) == jobs.MOST_FILES
    assert got.truncated


def test_many_refusals_are_listed_up_to_a_number():
    got = read(tar(*((f"out/bad {n}", b"") for n in range(100))))
    assert len(got.refused) == jobs.MOST_REFUSALS + 1


def test_a_stream_that_breaks_off_is_the_engines_failure_wherever_it_breaks():
    whole = tar(("out/artifacts/a", b"a" * 600), ("out/trials.jsonl", b"b" * 600))
    end = len(whole.rstrip(b"\0"))
    end += -end % 512
    assert read(whole[: end + 512]).files.keys() == {"artifacts/a", "trials.jsonl"}
    for cut in range(0, end + 1, 64):
        with pytest.raises(SandboxFailed):
            read(whole[:cut])


def test_rubbish_between_members_is_the_engines_failure():
    whole = bytearray(tar(("out/artifacts/a", b"a"), ("out/trials.jsonl", b"b")))
    whole[3 * 512 : 4 * 512] = b"\x01" * 512
    with pytest.raises(SandboxFailed):
        read(bytes(whole))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data):
    try:
        got = read(data)
    except SandboxFailed:
        return
    assert all(jobs.why_refused(path) is None for path in got.files)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.one_of(NAMES, NAMES.map("out/artifacts/{}".format), st.just("out/trials.jsonl")),
            st.sampled_from(
                [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
            ),
            st.binary(max_size=50),
        ),
        max_size=8,
    )
)
def test_whatever_is_archived_only_plain_files_come_out(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, data in members:
            regular = kind == tarfile.REGTYPE
            info = entry(name, kind=kind, size=len(data) if regular else 0, link="/etc/passwd")
            archive.addfile(info, io.BytesIO(data) if regular else None)
    got = read(buffer.getvalue())
    # Some names change on the way into an archive; whatever comes out was archived as a file.
    regular = {data for _, kind, data in members if kind == tarfile.REGTYPE}
    assert set(got.files.values()) <= regular
    for path in got.files:
        assert path == "trials.jsonl" or path.startswith(("arrays/", "artifacts/"))
        assert path.isascii()
        assert ".." not in path.split("/")


def numeric(width, value):
    """A number field of a tar header: octal, or base 256 where that is too narrow, as GNU writes it."""
    return tarfile.itn(value, width, tarfile.GNU_FORMAT)


KINDS = st.sampled_from([*(bytes([n]) for n in b"01234567LKSVDMNxgXZ"), b"\0"])
CONTENTS = st.binary(max_size=700)
PAX = st.sampled_from(
    [
        {}, {"path": "out/artifacts/renamed"}, {"path": "../../../tmp/pwned"}, {"path": "/etc/passwd"}, {"size": "0"},
        {"size": "-1"}, {"size": "99999999999999999999"}, {"size": "x"}, {"linkpath": "/etc/shadow"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 12, "GNU.sparse.name": "../x"},
        {"GNU.sparse.map": "0,1,5,1", "GNU.sparse.size": "999999999"}, {"GNU.sparse.map": "x"},
        {"hdrcharset": "BINARY", "path": "out/artifacts/\udcff"}, {"mtime": "nan"}, {"uid": "1" * 50},
        {"SCHILY.xattr.security.capability": "x" * 100},
    ]
)  # fmt: skip
PATHS = st.one_of(
    st.sampled_from(
        ["trials.jsonl", "artifacts/a", "artifacts/b", "arrays/0.json", "artifacts/.git/x", "artifacts/HEAD"]
    ),
    NAMES,
).map("out/{}".format)


@st.composite
def members(draw):
    """One member as bytes: any kind, a size that may lie, headers before it, a name in any of three places."""
    name, data = draw(PATHS), draw(CONTENTS)
    size = draw(
        st.sampled_from([len(data), len(data), len(data), 0, 511, 513, 2**20 + 1, 2**40, 2**62, -1, -(2**40)])
    )
    info = entry(name, kind=draw(KINDS), link="/etc/passwd")
    info.pax_headers = draw(PAX)
    try:
        head = info.tobuf(
            draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])), errors="surrogateescape"
        )
    except (ValueError, UnicodeError):
        head = entry("out/artifacts/x").tobuf()
    block = bytearray(head[-512:])
    block[124:136] = numeric(12, size)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return head[:-512] + bytes(block) + data + bytes(-len(data) % 512)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(members(), max_size=6), st.integers(0, 3), st.integers(0, 4000) | st.none(), st.integers(1, 2000)
)
def test_a_hostile_archive_is_filtered_or_refused(archived, ends, cut, chunk):
    data = (b"".join(archived) + bytes(512 * ends))[:cut]
    try:
        got = read(data, chunk=chunk)
    except SandboxFailed:
        return
    assert sum(map(len, got.files.values())) <= LIMITS.output_mb * 2**20
    for path, content in got.files.items():
        assert jobs.why_refused(path) is None
        assert content in data, "what is taken stood there as it is"
    assert all(line.isascii() and line.isprintable() for line in got.refused)


# ------------------------------------------------------------------ jobs.Log


def test_log_keeps_head_and_tail_and_marks_the_cut():
    log = jobs.Log()
    log.feed(b"start\n")
    for _ in range(300):
        log.feed(b"x" * 1000)
    log.feed(b"\nend")
    text, cut = log.text()
    assert cut
    assert text.startswith(b"start\n")
    assert text.endswith(b"\nend")
    assert b"bytes left out]" in text
    assert len(text) <= jobs.HEAD_BYTES + jobs.TAIL_BYTES + 100


def test_short_log_is_whole():
    log = jobs.Log()
    data = bytes(range(256)) * 400
    for n in range(0, len(data), 333):
        log.feed(data[n : n + 333])
    assert log.text() == (data, False)


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_counts_progress_lines_however_they_are_cut(chunk):
    log = jobs.Log()
    text = (
        b"hello trial 9/9 ok\ntrial 1/4 ok\nnoise\ntrial 2/4 error\n"
        + b"z" * 500
        + b"\ntrial 3/4 ok\ntrial 4/4"
    )
    for n in range(0, len(text), chunk):
        log.feed(text[n : n + chunk])
    assert log.trials_done == 3


# --------------------------------------------------------------- jobs.inputs


def job(path):
    return Job("r", {path: b""}, [TrialSpec(index=0, arm="a", seed=1)], {"k": 1.5}, LIMITS)


def test_inputs_hold_the_experiment_the_harness_and_the_job():
    got = jobs.inputs(job("experiment/sub/a.py"), b"harness")
    assert sorted(got) == ["experiment/sub/a.py", "harness.py", "job.json"]
    assert (
        got["job.json"]
        == b'{"command":[],"config":{"k":1.5},"parallel":2,"trials":[{"arm":"a","index":0,"seed":1}]}'
    )


@pytest.mark.parametrize(
    "path",
    [
        "harness.py",
        "job.json",
        "experiment",
        "../experiment/a",
        "experiment/../../a",
        "/experiment/a",
        "experiment//a",
    ],
)
def test_inputs_refuse_a_path_outside_the_experiment(path):
    with pytest.raises(InvalidInput, match="cannot go into the sandbox"):
        jobs.inputs(job(path), b"")
