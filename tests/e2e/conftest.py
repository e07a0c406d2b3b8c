"""Drives the installed `autoresearch` command: on a pseudo-terminal of its own, or with none at all."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.cli.find import find_entry
from autoresearch.cli.wiring import CLOCK
from autoresearch.reporting.log_page import log_json
from autoresearch.reporting.status import status
from autoresearch.reporting.status_page import status_json
from autoresearch.verify import verify

COMMAND = str(Path(sys.executable).with_name("autoresearch"))
QUICK = Path(__file__).parents[1] / "data" / "quick.md"
DIGEST = re.compile(rb'To [a-z -]+, type ([0-9a-f]{8}) \("[a-z]+" if not\): ')
DECISION = "Decision: "
APPROVE = "May this experiment run?"
ACCEPT = "Do these conclusions follow?"


class Session:
    """One command on a terminal of 24 by 80. Text typed before a prompt would be thrown away, so wait first."""

    def __init__(self, argv, *, cwd, env):
        self.child = pexpect.spawn(
            argv[0], list(map(str, argv[1:])), cwd=str(cwd), env=env, dimensions=(24, 80), timeout=60
        )
        # The default pauses guard against faults of some shells; there is none here.
        self.child.delaybeforesend = None
        self.child.ptyproc.delayafterclose = self.child.ptyproc.delayafterterminate = 0.01
        self.seen = b""
        self.answers = 0

    def wait_for(self, text):
        self._expect([re.escape(text.encode())])

    def prompted(self, wanted, *others):
        """False once `wanted` is on the screen, True for one of `others`, whichever comes first."""
        self._expect([re.escape(text.encode()) for text in (wanted, *others)])
        return self.child.match[0].decode() != wanted

    def _expect(self, patterns):
        try:
            self.child.expect(patterns)
        except (pexpect.EOF, pexpect.TIMEOUT):
            self.seen += self.child.before or b""
            pytest.fail(f"waited in vain for {patterns}; on the screen:\n{self.screen}")
        self.seen += self.child.before + self.child.after

    def type(self, line):
        self.answers += 1
        self.child.sendline(line)

    def digest(self):
        """The short digest that the screen asks for."""
        self._expect([DIGEST])
        return self.child.match[1].decode()

    def decide(self, word, reason=None):
        """The whole answer at an open gate: decision, reason where one is due, digest."""
        self.wait_for(DECISION)
        self.type(word)
        if reason is not None:
            self.wait_for(f"Why {word}?")
            self.type(reason)
        self.type(self.digest())

    def approve(self):
        self.wait_for(APPROVE)
        self.decide("approve")

    def accept(self):
        self.wait_for(ACCEPT)
        self.accept_rest()

    def accept_rest(self):
        """Accept at a second gate that is on the screen already."""
        self.decide("a")

    def end(self):
        """The exit code, after everything was read."""
        try:
            self.child.expect(pexpect.EOF)
        except pexpect.TIMEOUT:
            self.seen += self.child.before
            pytest.fail(f"it does not end; on the screen:\n{self.screen}")
        self.seen += self.child.before
        self.child.close()
        return self.child.exitstatus

    def kill(self):
        """SIGKILL for the command and whatever it started, unless it has ended."""
        if not self.child.closed and self.child.isalive():
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        self.child.close()

    @property
    def screen(self):
        return self.seen.decode(errors="replace").replace("\r\n", "\n")


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Desk:
    """A person's machine: a home, an environment, and the command."""

    home: Path
    env: dict[str, str]
    sessions: list[Session] = field(default_factory=list)

    def terminal(self, *args, cwd, **env):
        self.sessions.append(Session([COMMAND, *args], cwd=cwd, env=self.env | env))
        return self.sessions[-1]

    def shell(self, line, *, cwd):
        """A shell's command line on a terminal; `autoresearch` in it is the installed one."""
        line = line.replace("autoresearch", COMMAND)
        self.sessions.append(Session(["sh", "-c", line], cwd=cwd, env=self.env))
        return self.sessions[-1]

    def run(self, *args, cwd, stdin=subprocess.DEVNULL, unset=(), **env):
        """The command with no terminal anywhere: a session of its own."""
        environ = {name: value for name, value in (self.env | env).items() if name not in unset}
        done = subprocess.run(
            [COMMAND, *map(str, args)], cwd=cwd, env=environ, stdin=stdin, capture_output=True,
            text=True, timeout=150, check=False, start_new_session=True,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def git(self, *args, cwd, check=True):
        done = subprocess.run(
            ["git", *map(str, args)], cwd=cwd, env=self.env, capture_output=True,
            encoding="utf-8", errors="replace", check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    # ------------------------------------------------------------ whole courses

    def start(self, proposal, folder):
        """A project in `folder`, made on a terminal that now stands at the first gate."""
        return self.terminal("start", proposal, folder, cwd=Path(folder).parent)

    def waiting(self, proposal, folder):
        """A project that waits at its first gate, made without a terminal."""
        done = self.run("start", proposal, folder, cwd=Path(folder).parent)
        assert done.code == 3, done.err
        return Path(folder)

    def accepted(self, proposal, folder):
        session = self.start(proposal, folder)
        session.approve()
        session.accept()
        assert session.end() == 0, session.screen
        return Path(folder)

    # ------------------------------ looking, as the commands do, without a process each

    def log(self, project):
        """As `log --json`."""
        with closing(GitLedger(project, CLOCK)) as ledger:
            return log_json(ledger.entries())

    def status(self, project):
        """As `status --json`."""
        with closing(GitLedger(project, CLOCK)) as ledger:
            return status_json(status(ledger.entries()))

    def show(self, project, step, attempt=None):
        """As `show STEP --json`."""
        with closing(GitLedger(project, CLOCK)) as ledger:
            return json.loads(find_entry(ledger.entries(), step, None, attempt).record.to_bytes())

    def kinds(self, project):
        return [row["kind"] for row in self.log(project)]

    def placed(self, project):
        """(attempt, kind) of every record, oldest first."""
        return [(row["attempt"], row["kind"]) for row in self.log(project)]

    def require_sound(self, project):
        """`verify` finds nothing, the branch is a commit a record, and nothing is half-written."""
        with closing(GitLedger(project, CLOCK)) as ledger:
            found = verify(ledger)
            rows = log_json(ledger.entries())
        assert found.sound, list(found.lines())
        keys = [(row["cycle"], row["attempt"], row["step"], row["kind"]) for row in rows]
        assert len(keys) == len(set(keys)), keys
        assert len({row["commit"] for row in rows}) == len(rows)
        assert self.git("status", "--porcelain", cwd=project) == ""


def containers_of(project_id):
    """Names of the containers and volumes on this machine that belong to a project."""
    names = []
    for listing in (["ps", "-a", "--format", "{{.Names}}"], ["volume", "ls", "--format", "{{.Name}}"]):
        out = subprocess.run(["docker", *listing], capture_output=True, text=True, check=True).stdout
        names += [name for name in out.split() if f"autoresearch-p{project_id[:8]}" in name]
    return names


@pytest.fixture(scope="session")
def quick_file():
    """What the function's `quick` gives, for what is made once for many tests."""
    return QUICK


@pytest.fixture(scope="session")
def left_behind():
    return containers_of


@pytest.fixture(scope="session")
def image():
    """The sandbox image, built once on this machine."""
    done = subprocess.run(
        [COMMAND, "sandbox", "build"], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def module_desk(tmp_path_factory):
    yield from _desk(tmp_path_factory.mktemp("home"))


@pytest.fixture
def desk(tmp_path_factory):
    yield from _desk(tmp_path_factory.mktemp("home"))


def _desk(home):
    (home / ".gitconfig").write_text("[user]\n\tname = Ada Reviewer\n\temail = ada@example.org\n")
    kept = ("PATH", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    env |= {"HOME": str(home), "XDG_CACHE_HOME": cache, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    made = Desk(home, env)
    yield made
    for session in made.sessions:
        session.kill()


# ------------------------------------------------------------------- proposals

CODE = re.compile(r"(## Experiment\n+```python\n).*?(```)", re.DOTALL)


@pytest.fixture(scope="session")
def variant():
    """quick.md with other code, or with passages replaced; written to a path."""

    def write(path, *changes, code=None, text=None):
        text = text if text is not None else QUICK.read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        if code is not None:
            text = CODE.sub(lambda found: found[1] + code.strip("\n") + "\n" + found[2], text)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def editor(tmp_path):
    """An $EDITOR that applies a sed expression to files of one name, and leaves others alone."""

    def make(name, expression):
        script = tmp_path / "editor.sh"
        script.write_text(f'#!/bin/sh\ncase "$1" in */{name}) sed -i \'{expression}\' "$1";; esac\n')
        script.chmod(0o755)
        return str(script)

    return make


@pytest.fixture
def copy_of(tmp_path):
    """A project of one's own to spoil, copied from one that others read."""

    def copy(project, name="copy"):
        return Path(shutil.copytree(project, tmp_path / name, symlinks=True))

    return copy
