"""What a durable step costs beside git's own plumbing doing the same writes, and how it grows."""

import os
import random
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.layout import commit_message, record_path
from autoresearch.records import AGENT, RULES, Finding, Monitoring, Record
from autoresearch.testing import FixedClock
from bench.rows import ratio, row

SIZES = ((10, 50), (1_000, 50), (10_000, 50), (10, 2_000), (1_000, 2_000))
"""Commits and files that are there before."""
STEPS = 15
EXPLANATION = "what was found, and why it matters to whoever reads the conclusion. " * 7
DURABLE = ("-c", "core.fsync=all", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0")


def measure():
    """Rows of {what, value, unit, note}."""
    rows, ours = [], {}
    with tempfile.TemporaryDirectory(prefix="autoresearch-bench-") as scratch:
        for commits, files in SIZES:
            found, base = steps(Path(scratch), commits, files)
            ours[commits, files] = found
            after = f"after {commits:,} commits, {files:,} files"
            rows += [
                row(f"step by git's plumbing, {after}", base, "s"),
                row(f"step of the ledger, {after}", found, "s"),
                ratio("ratio of the medians (aim 0.6)", found, base),
            ]
    rows.append(ratio("1,000 commits, 2,000 files to 10 and 50 (aim 1.15)", ours[1_000, 2_000], ours[10, 50]))
    return rows


def steps(scratch, commits, files):
    """Seconds of each step, ours and plumbing's, interleaved at random, each in a project of its own."""
    ledger_root, plain_root = scratch / f"ledger-{commits}-{files}", scratch / f"plain-{commits}-{files}"
    last = build(ledger_root, commits, files)
    shutil.copytree(ledger_root, plain_root)
    ours, base = [], []
    draw = random.Random(1)
    with closing(GitLedger(ledger_root, FixedClock())) as ledger:
        ledger.entries()
        turns = [True, False] * (STEPS + 1)
        draw.shuffle(turns)
        for number, mine in enumerate(turns, start=1):
            made = record(commits + number, last.digest)
            began = time.perf_counter()
            if mine:
                ledger.append(made, {}, after=ledger.head(), author=AGENT)
                last = made
            else:
                plumbing(plain_root, made)
            (ours if mine else base).append(time.perf_counter() - began)
    return ours[1:], base[1:]


def record(number, parent):
    """About 20 kB, as a plan with its reasons."""
    found = Finding(check="a.rule", severity="info", record="plan", explanation=EXPLANATION)
    return Record(
        kind="monitoring", cycle=number // 100 + 1, attempt=number % 100 + 1, step="monitor", parent=parent, inputs={}, made_by=RULES,
        body=Monitoring(findings=[found] * 35, rules=["a.rule"]),
    )  # fmt: skip


def build(root, commits, files):
    """A project of so many records and files, imported in one go. Returns its last record."""
    root.mkdir()
    ledger = GitLedger.create(root, FixedClock())
    ledger.close()
    before, stream = None, []
    for number in range(1, commits + 1):
        made = small(number, before.digest if before else None)
        stream.append(_commit(made, before, files if before is None else 0))
        before = made
    subprocess.run(["git", "fast-import", "--quiet"], cwd=root, input=b"".join(stream), check=True)
    subprocess.run(["git", "reset", "-q", "--hard"], cwd=root, check=True)
    return before


def small(number, parent):
    made = record(number, parent)
    return made.model_copy(update={"body": made.body.model_copy(update={"findings": []})})


def _commit(made, before, files):
    message = commit_message(made, before).encode()
    when = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    lines = [b"commit refs/heads/main\ncommitter autoresearch <autoresearch@localhost> %d +0000\n" % when]
    lines.append(b"data %d\n%s\n" % (len(message), message))
    written = {record_path(made): made.to_bytes()}
    written |= {f"workflow/{n % 40:02d}/{n:04d}.md": b"%d\n" % n for n in range(files)}
    for path, data in written.items():
        lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    return b"".join(lines)


def plumbing(root, made):
    """The same objects, the branch, the index and the file, by git's own programs, everything synced."""
    path, message = record_path(made), commit_message(made, None)

    def git(*args, given=b""):
        done = subprocess.run(
            ["git", *DURABLE, *args], cwd=root, input=given, capture_output=True, check=True, env=ENVIRONMENT
        )
        return done.stdout.decode().strip()

    blob = git("hash-object", "-w", "--stdin", given=made.to_bytes())
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    tree = git("write-tree")
    commit = git("commit-tree", "-p", "refs/heads/main", tree, given=message.encode())
    git("update-ref", "refs/heads/main", commit)
    git("checkout-index", "--force", "--", path)


ENVIRONMENT = {
    **os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": "autoresearch" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}  # fmt: skip
