import json

import pytest

from autoresearch.analysis.trials import parse_trials, raw_digest, raw_values
from autoresearch.errors import InvalidInput
from autoresearch.records import TrialSpec

ISSUED = [
    TrialSpec(index=0, arm="a", seed=11),
    TrialSpec(index=1, arm="b", seed=11),
    TrialSpec(index=2, arm="a", seed=12),
]


def line(index=0, arm="a", seed=11, status="ok", values=None, arrays=None, error=None, **more):
    record = {"index": index, "arm": arm, "seed": seed, "status": status, "seconds": 0.25}
    record |= {"cpu_seconds": 0.5, "data_sha256": None, "data_note": None}
    record |= {"values": values or {}, "arrays": arrays, "error": error}
    return json.dumps(record | more).encode() + b"\n"


def parse(*lines):
    return parse_trials({"trials.jsonl": b"".join(lines)}, ISSUED)


def test_reads_trials_by_index_whatever_the_order_of_their_ends():
    parsed = parse(line(2, "a", 12), line(0, values={"acc": 0.5}), line(1, "b"))
    assert [(t.index, t.arm, t.seed, t.ok) for t in parsed.trials] == [
        (0, "a", 11, True),
        (1, "b", 11, True),
        (2, "a", 12, True),
    ]
    assert parsed.trials[0].values == {"acc": 0.5}
    assert parsed.trials[0].seconds == 0.25
    assert not parsed.missing
    assert not parsed.dropped_line


def test_failed_trial_is_kept_with_its_reason():
    trial = parse(line(status="error", error="ZeroDivisionError: division by zero")).trials[0]
    assert not trial.ok
    assert "ZeroDivisionError" in trial.error


def test_partial_last_line_is_dropped_and_said():
    parsed = parse(line(0), line(1, "b")[:-20])
    assert [t.index for t in parsed.trials] == [0]
    assert parsed.dropped_line
    assert [spec.index for spec in parsed.missing] == [1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line(0), line(0)], "line 2: trial 0 stands here a second time"),
        ([line(9)], "line 1: no trial 9 was issued"),
        ([line(0, arm="b")], "line 1: trial 0 was issued as arm a, seed 11, but stands here as arm b"),
        ([line(0, seed=12)], "line 1: trial 0 was issued as arm a, seed 11, but .* seed 12"),
        ([line(0), b"\n"], "line 2: line 1, column 1: expecting value"),
        ([line(0), line(1, "b")[:-20] + b"\n", line(2, "a", 12)], "line 2: "),
        ([line(True)], "line 1: index: "),
        ([line(0, seconds="1")], "line 1: seconds: "),
        ([line(0, cpu_seconds=-1.0)], "line 1: cpu_seconds: "),
        ([line(0, cpu_seconds=1e308)], "line 1: cpu_seconds: "),
        ([line(0, seconds=-1.0)], "line 1: seconds: "),
        ([line(0, data_sha256="0" * 63)], "line 1: data_sha256: "),
        ([line(0, data_note="x" * 201)], "line 1: data_note: "),
        ([line(0, status="great")], "line 1: status: "),
        ([line(0, extra=1)], "line 1: extra: "),
        ([b"[]\n"], "line 1: document: "),
        ([line(0, arrays="arrays/1.json")], "line 1: arrays must be arrays/0.json or null"),
        ([b'{"index": 0, "index": 1}\n'], "line 1: the key 'index' stands twice"),
    ],
)
def test_refuses_what_was_not_issued_or_is_no_trial(lines, message):
    with pytest.raises(InvalidInput, match=message):
        parse(*lines)


def test_no_file_is_an_error_and_an_empty_one_is_no_trial():
    with pytest.raises(InvalidInput, match=r"trials\.jsonl is missing"):
        parse_trials({}, ISSUED)
    assert len(parse(b"").missing) == 3


def raw(line_bytes, **files):
    data = {"trials.jsonl": line_bytes} | {f"arrays/{k[1:]}.json": v for k, v in files.items()}
    return raw_values(parse_trials(data, ISSUED).trials[0], data)


def test_raw_values_join_line_and_arrays():
    with_arrays = line(values={"n": 3}, arrays="arrays/0.json")
    assert raw(with_arrays, _0=b'{"x": [1, 2]}') == {"n": 3, "x": [1, 2]}
    assert raw(line(values={"n": 3}), _0=b'{"x": [1, 2]}') == {"n": 3}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "arrays/0.json is missing"),
        ({"_0": b"[1]"}, "arrays/0.json: not an object"),
        ({"_0": b'{"n": [1]}'}, r"arrays/0.json: n stands in trials\.jsonl too"),
        ({"_0": b'{"x": [NaN]}'}, "arrays/0.json: NaN is not a finite number"),
    ],
)
def test_raw_values_refuse(files, message):
    with pytest.raises(InvalidInput, match=message):
        raw(line(values={"n": 3}, arrays="arrays/0.json"), **files)


def test_raw_digest_depends_on_every_number_and_on_nothing_else():
    assert raw_digest({"a": [1.0, 2.0], "b": 3}) == raw_digest({"b": 3, "a": [1.0, 2.0]})
    digests = {raw_digest({"a": value}) for value in (1, 1.0, [1.0], 1.0000000000000002, 0.0, -0.0)}
    assert len(digests) == 6
