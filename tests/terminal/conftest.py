import importlib.util
import json
import os
import sys
from pathlib import Path

import pexpect
import pytest

HERE = Path(__file__).parent


def _load(name):
    spec = importlib.util.spec_from_file_location(f"terminal_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def views():
    return _load("views")


class Gate:
    """A gate in a child process on a pseudo-terminal of its own."""

    def __init__(self, out, gate, options, *, size=(24, 80), environ=None):
        env = {"PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": "C.UTF-8", **(environ or {})}
        self.out = out
        self.child = pexpect.spawn(
            sys.executable,
            [str(HERE / "drive.py"), str(out), gate, json.dumps(options)],
            env=env,
            dimensions=size,
            timeout=60,
        )
        # The default pause before each send guards against a fault of some shells; there is none here.
        self.child.delaybeforesend = None
        self.child.ptyproc.delayafterclose = self.child.ptyproc.delayafterterminate = 0.01
        self.seen = b""

    def expect(self, text):
        self.child.expect_exact(text)
        self.seen += self.child.before + self.child.after

    def answer(self, prompt, line):
        self.expect(prompt)
        self.child.sendline(line)

    def end(self):
        """Exit code, after everything was read."""
        self.child.expect(pexpect.EOF)
        self.seen += self.child.before
        self.child.close()
        return self.child.exitstatus

    def result(self):
        assert self.end() == 0, self.seen.decode(errors="replace")
        return json.loads(self.out.read_text())

    @property
    def decided(self):
        return self.out.exists()


@pytest.fixture
def gate(tmp_path):
    gates = []

    def start(name, *, size=(24, 80), environ=None, **options):
        gates.append(Gate(tmp_path / "answer.json", name, options, size=size, environ=environ))
        return gates[-1]

    yield start
    for each in gates:
        each.child.close(force=True)
