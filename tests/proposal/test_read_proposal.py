"""The file itself: what is refused before a word of it is parsed."""

import os

import pytest

from autoresearch.errors import InvalidInput
from autoresearch.proposal import read_proposal


def refusal(path) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_proposal(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n\t\r\n", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        (b"# T\n\nna\xefve\n", "not UTF-8: byte 0xef at offset 7 (line 3)"),
        (b"\xff\xfe#\x00", "not UTF-8: byte 0xff at offset 0 (line 1)"),
        (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8: byte 0x89 at offset 0"),
        (b"PK\x03\x04\x00\x00", "not a text file: NUL byte at offset 4"),
        (b"x" * 1_000_001, "has 1.0 MB: a proposal has at most 1 MB"),
    ],
)
def test_files_that_are_no_proposal(tmp_path, data, said):
    path = tmp_path / "p.md"
    path.write_bytes(data)
    assert said in refusal(path)


def test_fifty_megabytes_are_not_even_read(tmp_path):
    path = tmp_path / "p.md"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    assert "has 50.0 MB" in refusal(path)


def test_missing_directory_and_pipe(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.md")
    assert "is a directory" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))


def test_the_text_comes_back_as_it_is(tmp_path):
    path = tmp_path / "p.md"
    text = "# Tïtle\r\n\r\nwords\n" + "x" * 900_000
    path.write_bytes(text.encode())
    assert read_proposal(path) == text
