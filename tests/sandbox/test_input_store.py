"""The store of data: what goes in, and what is noticed afterwards."""

import hashlib
import json
import os
import shutil
import tracemalloc

import pytest

from autoresearch.adapters.input_store import InputStore
from autoresearch.errors import InvalidInput


@pytest.fixture
def store(tmp_path):
    return InputStore(tmp_path / "store")


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "data"
    (root / "deep").mkdir(parents=True)
    (root / "a.csv").write_text("x,y\n1,2\n")
    (root / "deep" / "ü b.bin").write_bytes(bytes(range(256)))
    return root


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_the_digest_can_be_worked_out_by_hand(store, tree, tmp_path):
    taken = store.take_in("d", "data", tmp_path)
    by_hand = {"a.csv": sha(b"x,y\n1,2\n"), "deep/ü b.bin": sha(bytes(range(256)))}
    text = json.dumps(by_hand, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert taken.sha256 == sha(text.encode())
    assert (taken.files, taken.size) == (2, 8 + 256)
    place = store.place(taken.sha256)
    assert (place / "deep" / "ü b.bin").read_bytes() == bytes(range(256))
    assert not (place / "a.csv").stat().st_mode & 0o222
    assert store.take_in("d", str(tree), tmp_path).sha256 == taken.sha256, "absolute or not"
    assert [path.name for path in place.parent.iterdir()] == [taken.sha256], "once, and nothing beside it"


def test_a_single_file(store, tree, tmp_path):
    taken = store.take_in("f", "data/a.csv", tmp_path)
    assert taken.sha256 == sha(json.dumps({".": sha(b"x,y\n1,2\n")}, separators=(",", ":")).encode())
    assert store.place(taken.sha256).read_text() == "x,y\n1,2\n"


def odd(tree, kind):
    place = tree / "deep" / "odd"
    if kind == "link":
        place.symlink_to("/etc/passwd")
    elif kind == "link to a directory":
        place.symlink_to(tree)
    elif kind == "pipe":
        os.mkfifo(place)
    return place


@pytest.mark.parametrize("kind", ["link", "link to a directory", "pipe"])
def test_only_regular_files_are_taken(store, tree, tmp_path, kind):
    place = odd(tree, kind)
    with pytest.raises(InvalidInput, match="only regular files") as caught:
        store.take_in("d", "data", tmp_path)
    assert str(place) in str(caught.value)
    assert list((tmp_path / "store").iterdir()) == [], "nothing half taken stays"


@pytest.mark.parametrize(
    ("path", "said"),
    [("nothing", "does not exist"), ("empty", "holds no file"), ("link", "neither a regular file"), ("/dev/zero", "neither a regular")],
)  # fmt: skip
def test_what_is_no_data(store, tree, tmp_path, path, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tree)
    with pytest.raises(InvalidInput, match=said):
        store.take_in("d", path, tmp_path)


def flip(place):
    file = place / "a.csv"
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        flip,
        lambda place: (place / "more").write_text("x"),
        lambda place: (place / "a.csv").unlink(),
        lambda place: (place / "a.csv").rename(place / "b.csv"),
        lambda place: (place / "link").symlink_to("a.csv"),
        shutil.rmtree,
        lambda place: (shutil.rmtree(place), place.symlink_to("/etc")),
    ],
)
def test_every_change_is_seen_and_taking_in_again_mends_it(store, tree, tmp_path, harm):
    taken = store.take_in("d", "data", tmp_path)
    assert store.measure(taken.sha256).sha256 == taken.sha256
    harm(store.place(taken.sha256))
    found = store.measure(taken.sha256)
    assert found is None or found.sha256 != taken.sha256
    store.take_in("d", "data", tmp_path)
    assert store.measure(taken.sha256).sha256 == taken.sha256


def test_large_files_do_not_go_through_memory(store, tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * 2**20)
    tracemalloc.start()
    taken = store.take_in("d", "large", tmp_path)
    assert store.measure(taken.sha256).size == 64 * 2**20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
