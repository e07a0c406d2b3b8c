"""Reads git's objects through one `git cat-file --batch` that is kept running.

A process per object is most of the cost of reading a history: on 1,000 records,
`git diff-tree` for each commit took five times as long as everything else.
"""

import re
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from autoresearch.adapters.git_objects import TREE_MODE, Tree, parse_tree
from autoresearch.errors import LedgerError
from autoresearch.ports import FileChange

_LASTING = re.compile(r"[0-9a-f]{40}(\^\{tree\})?")
TREES_KEPT = 256
"""A step reads the trees of its commit's parent again, `verify` those of each commit twice."""
_FOUND = re.compile(rb"([0-9a-f]{40}) (blob|tree|commit|tag) (\d+)")


class Found(NamedTuple):
    oid: str
    kind: str
    """`blob`, `tree`, `commit` or `tag`."""
    data: bytes


class _Ended(Exception):
    """Git ended instead of answering."""


class ObjectReader:
    """The objects of the repository in `git_dir`. `environment` is the whole of git's."""

    def __init__(self, git_dir: Path, environment: Mapping[str, str]) -> None:
        self._command = ["git", f"--git-dir={git_dir}", "cat-file", "--batch"]
        self._environment = dict(environment)
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None
        self._trees: dict[str, Tree] = {}
        self.asked = 0
        """Objects asked for so far."""

    def find(self, name: str) -> Found | None:
        """The object that git knows by `name` (an id, `commit:path`, a ref); None if there is none."""
        if "\n" in name:
            return None  # git would read two names
        with self._one_at_a_time:  # LangGraph walks in threads
            try:
                return self._ask(name)
            except _Ended:
                # Over a broken object, or because somebody ended it: another git is asked, once.
                self.close()
            try:
                return self._ask(name)
            except _Ended:
                return None

    def tree(self, name: str) -> Tree:
        """Not to be changed by whoever asks. Raises LedgerError if there is no such tree."""
        known = self._trees.get(name)
        if known is not None:
            return known
        found = self.find(name)
        if found is None or found.kind != "tree":
            raise LedgerError(f"git has no tree {name}")
        tree = parse_tree(found.data)
        if _LASTING.fullmatch(name):
            self._keep(name, tree)
        return tree

    def _keep(self, name: str, tree: Tree) -> None:
        with self._one_at_a_time:
            self._trees[name] = tree
            if len(self._trees) > TREES_KEPT:
                del self._trees[next(iter(self._trees))]

    def blob(self, oid: str) -> bytes:
        found = self.find(oid)
        if found is None:
            raise LedgerError(f"git has no object {oid}")
        return found.data

    def files(self, tree: str, below: str = "") -> Iterator[tuple[str, str, str]]:
        """(path, mode, object id) of every file of a tree and the trees in it."""
        for name, (mode, oid) in self.tree(tree).items():
            if mode == TREE_MODE:
                yield from self.files(oid, f"{below}{name}/")
            else:
                yield f"{below}{name}", mode, oid

    def difference(
        self, old: str | None, new: str | None, below: str = ""
    ) -> Iterator[tuple[str, FileChange]]:
        """Path → change between two trees (None: empty). Trees that are the same are not opened."""
        before = self.tree(old) if old else {}
        after = self.tree(new) if new else {}
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            old_tree = was[1] if was and was[0] == TREE_MODE else None
            new_tree = now[1] if now and now[0] == TREE_MODE else None
            if old_tree or new_tree:
                yield from self.difference(old_tree, new_tree, f"{below}{name}/")
            was, now = None if old_tree else was, None if new_tree else now
            if now:
                yield f"{below}{name}", FileChange("M" if was else "A", *now, was[1] if was else "")
            elif was:
                yield f"{below}{name}", FileChange("D", *was, was[1])

    def close(self) -> None:
        self._end()
        self._process = None

    def _ask(self, name: str) -> Found | None:
        self.asked += 1
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(name.encode("utf-8", "surrogateescape") + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise _Ended from error
        head = process.stdout.readline()
        match = _FOUND.fullmatch(head.rstrip(b"\n"))
        if not head:
            raise _Ended
        if match is None:
            return None
        size = int(match[3])
        data = process.stdout.read(size + 1)
        if len(data) != size + 1:
            raise _Ended
        return Found(match[1].decode(), match[2].decode(), data[:-1])

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is meant for us
        )
        self._process = process
        self._end = weakref.finalize(self, _end, process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except BrokenPipeError:
            continue  # it ended before it had read everything
    process.wait()
