"""Ways in which a clone can be made to run code, to show other bytes than it has, or to be written through.

Each takes a `Clone`. `inert`: everything reads as in the clean twin. `named`: `verify` says what is wrong.
`canary`: a git command of the person's own that falls for it, to show that the trap is a real one.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Clone:
    root: Path
    mark: Path
    """Nothing may ever make it."""
    script: Path
    """An executable that makes it."""
    outside: Path
    """A directory that is none of the project's."""
    git: Callable[..., bytes]

    def config(self, key: str, value: object) -> None:
        self.git(self.root, "config", key, str(value))

    def attributes(self, text: str, place: str = ".git/info/attributes") -> None:
        path = self.root / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def foreign_tree(self, entries: bytes, base: bool = True) -> None:
        """A commit on top whose tree holds raw `entries` as well."""
        tree = self._object(
            "tree", (self.git(self.root, "cat-file", "tree", "main^{tree}") if base else b"") + entries
        )
        head = self.git(self.root, "rev-parse", "main").decode().strip()
        text = f"tree {tree}\nparent {head}\nauthor A <a@b> 1767225600 +0000\ncommitter A <a@b> 1767225600 +0000\n\nnote\n"
        self.git(self.root, "update-ref", "refs/heads/main", self._object("commit", text.encode()))

    def blob(self, data: bytes) -> str:
        return self._object("blob", data)

    def _object(self, kind: str, data: bytes) -> str:
        """Written by hand: git itself would refuse some of these."""
        whole = f"{kind} {len(data)}\0".encode() + data
        name = sha1(whole, usedforsecurity=False).hexdigest()
        place = self.root / ".git" / "objects" / name[:2] / name[2:]
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            place.write_bytes(zlib.compress(whole, 1))
        return name


@dataclass(frozen=True)
class Trick:
    name: str
    lay: Callable[[Clone], None]
    named: str = ""
    """What verify's problem says; empty: the trick changes nothing."""
    canary: tuple[str, ...] = ()


TRICKS: list[Trick] = []


def trick(name: str, named: str = "", canary: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    def add(lay: Callable[[Clone], None]) -> Callable[[Clone], None]:
        TRICKS.append(Trick(name, lay, named, canary))
        return lay

    return add


# ---------------------------------------------------------------- what would run


@trick("a file system monitor", canary=("status",))
def _(clone):
    clone.config("core.fsmonitor", clone.script)


@trick(
    "every hook, in a directory of the configuration's choice", canary=("commit", "--allow-empty", "-m", "x")
)
def _(clone):
    hooks = clone.outside / "hooks"
    hooks.mkdir()
    for name in [
        "pre-commit",
        "commit-msg",
        "post-commit",
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "post-update",
        "pre-auto-gc",
        "post-rewrite",
        "fsmonitor-watchman",
        "query-watchman",
        "update",
        "pre-receive",
        "proc-receive",
    ]:
        (hooks / name).symlink_to(clone.script)
    clone.config("core.hooksPath", hooks)


@trick("clean and smudge filters", canary=("hash-object", "proposal.md"))
def _(clone):
    for part in ("clean", "smudge", "process"):
        clone.config(f"filter.evil.{part}", clone.script)
    clone.config("filter.evil.required", "true")
    clone.attributes("* filter=evil\n")


@trick("an external diff and a text conversion", canary=("diff", "HEAD~1", "HEAD"))
def _(clone):
    for key in ("diff.external", "diff.evil.textconv", "diff.evil.command"):
        clone.config(key, clone.script)
    clone.attributes("* diff=evil\n")


@trick("programs for signatures, shown with every log", canary=("log", "-1"))
def _(clone):
    for key in ("gpg.program", "gpg.ssh.program", "gpg.x509.program"):
        clone.config(key, clone.script)
    clone.config("log.showSignature", "true")
    clone.config("user.signingkey", "A")
    clone.git(clone.root, "update-ref", "refs/tags/base", "main")
    raw = clone.git(clone.root, "cat-file", "commit", "main")
    head, body = raw.split(b"\n\n", 1)
    signed = head + b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----\n\n" + body
    # The tip alone: a person's note, which may be signed with whatever key they like.
    clone.git(clone.root, "update-ref", "refs/heads/main", clone._object("commit", signed))


@trick("aliases, pagers, editors and helpers", canary=("var", "GIT_EDITOR"))
def _(clone):
    for name in ("log", "cat-file", "status", "rev-parse", "fsck", "update-ref", "for-each-ref", "st"):
        clone.config(f"alias.{name}", f"!{clone.script}")
    for key in [
        "core.pager",
        "pager.log",
        "pager.diff",
        "core.editor",
        "sequence.editor",
        "core.askPass",
        "core.sshCommand",
        "core.gitProxy",
        "credential.helper",
        "interactive.diffFilter",
        "merge.evil.driver",
        "trailer.evil.command",
        "trailer.evil.cmd",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "difftool.evil.cmd",
        "mergetool.evil.cmd",
    ]:
        clone.config(key, clone.script)


@trick("a configuration that includes another", canary=("status",))
def _(clone):
    other = clone.outside / "included"
    other.write_text(f"[core]\n\tfsmonitor = {clone.script}\n\thooksPath = {clone.outside}\n")
    clone.config("include.path", other)
    clone.config(f"includeIf.gitdir:{clone.root}/.path", other)


@trick(
    "an object that is missing, to be fetched by a command",
    named="git fsck",
    canary=("cat-file", "-p", "main:notes/mine.txt"),
)
def _(clone):
    oid = clone.git(clone.root, "rev-parse", "main:notes/mine.txt").decode().strip()
    (clone.root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    clone.config("core.repositoryformatversion", "1")
    clone.config("extensions.partialClone", "evil")
    clone.config("remote.evil.url", f"ext::{clone.script}")
    clone.config("remote.evil.promisor", "true")
    clone.config("protocol.ext.allow", "always")
    clone.config("protocol.allow", "always")


@trick("submodules with an update command", canary=())
def _(clone):
    clone.config("submodule.evil.update", f"!{clone.script}")
    clone.config("submodule.evil.url", f"ext::{clone.script}")
    clone.config("submodule.recurse", "true")
    clone.config("status.submoduleSummary", "true")


@trick("a bare repository among the notes, with a monitor and hooks of its own")
def _(clone):
    inner = clone.root / "notes" / "inner.git"
    clone.git(clone.root, "init", "-q", "--bare", str(inner))
    clone.git(inner, "config", "core.fsmonitor", str(clone.script))
    (inner / "hooks").mkdir(exist_ok=True)
    (inner / "hooks" / "post-index-change").symlink_to(clone.script)


# -------------------------------------------------------- what would show other bytes


@trick("attributes that change bytes and hide differences")
def _(clone):
    clone.attributes(
        "* -diff binary ident eol=crlf text working-tree-encoding=UTF-16\n*.json export-ignore\n"
    )
    clone.config("core.autocrlf", "true")
    clone.config("core.eol", "crlf")


@trick("a log in other words: encodings, formats, names, and no root")
def _(clone):
    clone.config("i18n.logOutputEncoding", "UTF-16")
    clone.config("i18n.commitEncoding", "UTF-16")
    clone.config("format.pretty", "oneline")
    clone.config("log.showRoot", "false")
    clone.config("log.follow", "true")
    clone.config("log.mailmap", "true")
    clone.config("mailmap.file", clone.outside / "mailmap")
    (clone.outside / "mailmap").write_text("Mallory <m@example.org> <ada@example.org>\n")
    clone.config("grep.patternType", "perl")
    clone.config("core.abbrev", "4")
    clone.config("core.quotePath", "true")


@trick("a commit graph that leaves the rejection out")
def _(clone):
    clone.git(clone.root, "commit-graph", "write", "--reachable")
    graph = clone.root / ".git" / "objects" / "info" / "commit-graph"
    data = bytearray(graph.read_bytes())
    chunks = {}
    for at in range(8, 8 + 12 * data[6], 12):
        chunks[bytes(data[at : at + 4])] = struct.unpack(">Q", data[at + 4 : at + 12])[0]
    count = struct.unpack(">I", data[chunks[b"OIDF"] + 1020 : chunks[b"OIDF"] + 1024])[0]
    for at in range(count):
        row = chunks[b"CDAT"] + at * 36
        data[row + 20 : row + 24] = struct.pack(">I", 0x70000000)  # no parent at all
    data[-20:] = sha1(data[:-20], usedforsecurity=False).digest()
    graph.chmod(0o644)
    graph.write_bytes(data)
    clone.config("core.commitGraph", "true")


@trick("a replaced record", named="a replace ref stands")
def _(clone):
    path = "main:cycles/01/attempt-1/critique.json"
    old = clone.git(clone.root, "rev-parse", path).decode().strip()
    new = clone.blob(clone.git(clone.root, "cat-file", "blob", old).replace(b"open", b"shut"))
    clone.git(clone.root, "update-ref", f"refs/replace/{old}", new)


@trick("a graft", named="info/grafts exists")
def _(clone):
    (clone.root / ".git" / "info").mkdir(exist_ok=True)
    head, base = clone.git(clone.root, "rev-parse", "main", "main~5").decode().split()
    (clone.root / ".git" / "info" / "grafts").write_text(f"{head} {base}\n")


@trick("a shallow boundary", named=".git/shallow exists")
def _(clone):
    name = clone.git(clone.root, "rev-parse", "main~2").decode()
    (clone.root / ".git" / "shallow").write_text(name)


@trick("alternates that lead elsewhere", named="info/alternates exists")
def _(clone):
    clone.git(clone.outside, "init", "-q", "--bare", "store.git")
    (clone.root / ".git" / "objects" / "info").mkdir(exist_ok=True)
    text = f"{clone.outside}/store.git/objects\n"
    (clone.root / ".git" / "objects" / "info" / "alternates").write_text(text)


# ------------------------------------------------------------- what lies in the tree


def entry(mode: bytes, name: bytes, oid: str) -> bytes:
    return mode + b" " + name + b"\0" + bytes.fromhex(oid)


@trick("a link to another repository in place of files", named="is no record and changes zz-module")
def _(clone):
    clone.foreign_tree(entry(b"160000", b"zz-module", "1" * 40))


@trick("a symbolic link in the tree", named="is no record and changes zz-link")
def _(clone):
    clone.foreign_tree(entry(b"120000", b"zz-link", clone.blob(str(clone.outside).encode())))


for odd in (
    b"zz\nnewline",
    b"..",
    b".",
    b".git",
    b".GIT",
    b"git~1",
    ".g\u200cit".encode(),
    b"zz\\..\\x",
    b"zz:x",
    b"\xff\xfe",
):

    @trick(f"the name {odd!r} in a tree", named="is no record and changes")
    def _(clone, odd=odd):
        clone.foreign_tree(entry(b"100644", odd, clone.blob(b"[core]\n\tfsmonitor = x\n")))


@trick("64 MB of nothing as a record", named="is no record and changes")
def _(clone):
    oid = clone.blob(b" " * (64 << 20))
    attempt = entry(b"40000", b"attempt-9", clone._object("tree", entry(b"100644", b"plan.json", oid)))
    cycle = entry(b"40000", b"09", clone._object("tree", attempt))
    clone.foreign_tree(entry(b"40000", b"cycles", clone._object("tree", cycle)), base=False)


# ------------------------------------------------------------- what would be written through


@trick("a work tree somewhere else")
def _(clone):
    clone.config("core.worktree", clone.outside)


@trick("a symbolic link where records are written")
def _(clone):
    place = clone.root / "cycles" / "01" / "attempt-2"
    place.rename(clone.outside / "attempt-2")
    place.symlink_to(clone.outside / "attempt-2")


@trick("a symbolic link where notes are kept")
def _(clone):
    (clone.root / "notes").rename(clone.outside / "notes")
    (clone.root / "notes").symlink_to(clone.outside / "notes")
