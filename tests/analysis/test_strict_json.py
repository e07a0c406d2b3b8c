import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.analysis.strict_json import finite_number, finite_numbers, loads
from autoresearch.errors import InvalidInput


def read(data: bytes):
    return loads(data, max_bytes=10_000, max_depth=8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1, column 1: expecting value"),
        (b"[1, NaN]", "NaN is not a finite number at line 1, byte 5"),
        (b'["NaN",\n Infinity]', "Infinity is not a finite number at line 2, byte 2"),
        (b"-Infinity", "-Infinity is not a finite number at line 1, byte 1"),
        (b'{"a": 1e999}', "1e999 is not a finite number at line 1, byte 7"),
        (b'{"a": 1, "b": {}, "a": 2}', "the key 'a' stands twice in one object"),
        (b'{"a": {"b": 1, "b": 1}}', "the key 'b' stands twice"),
        (b'"\xff"', "not UTF-8 at line 1, byte 2"),
        (b"[1,\n2] 3", "line 2, column 4: extra data"),
        (b"[" * 9 + b"]" * 9, "nested deeper than 8 levels at line 1, byte 9"),
        (b"[" * 9_000, "nested deeper than 8 levels"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "nested deeper than 8 levels"),
        (b'"' + b"x" * 10_000 + b'"', "10002 bytes, at most 10000"),
        (b"1" * 5000, "an integer has too many digits"),
        (b'"\\ud800"', "unpaired surrogate"),
        (b'"[[[[[[[[[[[[', "unterminated string"),
        (b"\xef\xbb\xbf1", "bom"),
    ],
)
def test_refuses(data, message):
    with pytest.raises(InvalidInput) as caught:
        read(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "b": {"a": 2}}',
        b'["NaN", "1e999", "Infinity"]',
        b'"[[[[[[[[[[[[[[ \\" [[[["',
        b"[[[[[[[[1]]]]]]]]",
        b'"\\ud83d\\ude00"',
        b" [1e308, -1.5, 0, true, null] ",
    ],
)
def test_accepts(data):
    assert read(data) == json.loads(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_never_accepts_what_is_not_finite(value):
    text = json.dumps(value)
    try:
        parsed = loads(text.encode(), max_bytes=10**6, max_depth=50)
    except InvalidInput:
        nonfinite = any(word in text for word in ("NaN", "Infinity"))
        assert nonfinite or "\\ud" in text
    else:
        assert json.dumps(parsed) == text
        json.dumps(parsed, allow_nan=False)


@given(st.text(alphabet='[]{}":,\\ 1e9.-NaIt\n', max_size=40))
def test_agrees_with_the_standard_library_or_refuses(text):
    """What is accepted is what `json.loads` reads when told to refuse constants."""

    def refuse(token):
        raise ValueError(token)

    try:
        parsed = loads(text.encode(), max_bytes=1000, max_depth=20)
    except InvalidInput:
        return
    assert parsed == json.loads(text, parse_constant=refuse)


@given(st.binary(max_size=60))
def test_bytes_raise_nothing_but_invalid_input(data):
    with contextlib.suppress(InvalidInput):
        loads(data, max_bytes=1000, max_depth=5)


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain_values, st.booleans(), st.sampled_from([None, 0, 2]))
def test_whatever_is_plain_comes_back_as_it_was(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    parsed = loads(text.encode(), max_bytes=10**6, max_depth=50)
    assert json.dumps(parsed) == json.dumps(value)  # 1 and 1.0 and true are equal in Python, and not here


SPOILERS = st.sampled_from(
    [
        "NaN", "-Infinity", "Infinity", "1e999", "-1e400", "1" * 5000, '"\\ud800"', '"\\udc00x"',
        '{"a": 1, "a": 2}', '{"": [], "": []}', '{"\\u0061": 1, "a": 1}', "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60,
        "01", "+1", ".5", "1.", "0x1", "'a'", "[1,]", '{"a":1,}', "nul", "True", '"\t"', "1 2", "//x", "\x00", "",
    ]
)  # fmt: skip


@given(plain_values, SPOILERS, st.sampled_from(["{}", "[1, {}]", '{{"k": [{}, 2]}}', " {} ", "[[{}], 1]"]))
def test_one_bad_part_spoils_the_whole(value, spoiler, where):
    """Wherever it stands, beside whatever is in order."""
    text = f"[{json.dumps(value)}, {where.format(spoiler)}]"
    if spoiler == "" and where == "[1, {}]":
        text = text.replace("[1, ]", "[1, ,]")
    if spoiler == "" and where == "[[{}], 1]":
        text = text.replace("[[]", "[[,]")
    with pytest.raises(InvalidInput):
        loads(text.encode("utf-8", "surrogatepass"), max_bytes=10**6, max_depth=50)


@given(st.text(st.sampled_from('[]{}"\\\n a'), max_size=60))
def test_depth_counts_brackets_outside_strings_only(text):
    nested = f"[{json.dumps(text)}]"
    assert loads(nested.encode(), max_bytes=1000, max_depth=1) == [text]


@pytest.mark.parametrize("value", [True, "1", None, [1], {}, math.nan, math.inf, 10**400])
def test_finite_number_refuses(value):
    with pytest.raises(InvalidInput, match=r"^x: "):
        finite_number(value, "x")


def test_finite_number_takes_numbers():
    assert finite_number(3, "x") == 3.0
    assert finite_number(-0.5, "x") == -0.5


def test_finite_numbers_flattens_with_shape():
    assert finite_numbers([1, 2.5], "x") == ([1.0, 2.5], (2,))
    assert finite_numbers([[1, 2, 3], [4, 5, 6]], "x") == ([1, 2, 3, 4, 5, 6], (2, 3))
    assert finite_numbers([], "x") == ([], (0,))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, True], r"x\[1\]: true or false where a number"),
        ([[1, 2], [3]], r"x\[1\]: shape \(1,\) beside rows of shape \(2,\)"),
        ([[1], 2], r"x\[1\]: a number where a list"),
        ([["a"]], r"x\[0\]\[0\]: a string"),
        (3, "x: a number where a list"),
    ],
)
def test_finite_numbers_refuses(value, message):
    with pytest.raises(InvalidInput, match=message):
        finite_numbers(value, "x")
