"""What may stand in a lock: pinned packages with hashes, and nothing else."""

import pytest

from autoresearch.errors import InvalidInput
from autoresearch.pip_lock import check_lock

HASH = "--hash=sha256:" + "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        f"numpy==2.1.0 {HASH}\n",
        f"# made by pip-compile\nnumpy==2.1.0 \\\n    {HASH} \\\n    --hash=sha256:{'b' * 64}\n    # via me\n",
        f'a.b-c_d==1.0rc1+cpu ; python_version >= "3.11" {HASH}\r\n',
        f"uvicorn[standard]==0.3 {HASH}",
    ],
)
def test_a_lock_as_the_tools_write_it(text):
    check_lock(text.encode(), "requirements.lock")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("numpy==2.1.0", "`numpy==2.1.0` has no hash"),
        (f"numpy>=2 {HASH}", "is not pinned"),
        (f"numpy==2.* {HASH}", "is not pinned"),
        (f"numpy {HASH}", "is not pinned"),
        ("numpy==2 --hash=md5:abc", "not sha256:"),
        (f"numpy==2 --hash=sha256:{'a' * 63}", "not sha256:"),
        ("-r other.txt", "is an option"),
        ("--index-url https://example.org/simple", "is an option"),
        ("-e .", "is an option"),
        (f"numpy @ https://example.org/numpy.whl {HASH}", "is an address"),
        (f"git+https://example.org/x.git {HASH}", "is an address"),
        (f"./wheels/x.whl {HASH}", "is not pinned"),
        (f"numpy==2 {HASH} --pre", "is not pinned"),
        (f"numpy==2 --config-settings=x=y {HASH}", "is not pinned"),
    ],
)
def test_the_refusal_names_the_line(line, said):
    text = f"# a lock\nfine==1 \\\n  {HASH}\n\n{line}\n"
    with pytest.raises(InvalidInput) as caught:
        check_lock(text.encode(), "requirements.lock")
    assert str(caught.value).startswith("requirements.lock:5: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "names no package"), (b"# x\n", "names no package"), (b"\xff", "not UTF-8")]
)
def test_what_is_no_lock_at_all(data, said):
    with pytest.raises(InvalidInput, match=said):
        check_lock(data, "requirements.lock")
