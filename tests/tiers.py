"""The tiers beside Docker's own, for every test that wants them: gVisor on an engine of its own, bubblewrap."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import docker
import pytest
from filelock import FileLock

from autoresearch import assets
from autoresearch.adapters import docker_policy, gvisor, image
from autoresearch.adapters.bubblewrap_root import find_or_make as bubblewrap_root_of
from autoresearch.adapters.bubblewrap_sandbox import BubblewrapSandbox
from autoresearch.adapters.docker_sandbox import DockerSandbox

REPOSITORY = Path(__file__).parents[1]
IMAGES = REPOSITORY / ".cache" / "engine-of-tests"
"""Where that engine keeps its images from one test run to the next."""


class OwnEngine:
    """A dockerd beside the machine's, with gVisor registered; shared by the processes of a test run."""

    def __init__(self):
        # Short, since sockets lie in it, and of this checkout.
        mark = sha256(str(REPOSITORY).encode()).hexdigest()[:8]
        self.place = Path(tempfile.gettempdir()) / f"autoresearch-engine-{mark}"
        self.place.mkdir(mode=0o700, exist_ok=True)
        self.address = f"unix://{self.place}/docker.sock"
        self.lock = FileLock(self.place / "lock")
        self._users = self.place / "users"

    def join(self, image_id):
        """Start it unless another process did, and have the image there under the same id."""
        with self.lock:
            if not self._answers():
                self._start()
            client = docker.DockerClient(self.address, timeout=300)
            try:
                if not _has(client, image_id):
                    _copy(image_id, client)
            finally:
                client.close()
            self._write_users([*self._living(), os.getpid()])

    def leave(self):
        """The last one stops it."""
        with self.lock:
            others = [pid for pid in self._living() if pid != os.getpid()]
            self._write_users(others)
            if not others:
                os.kill(int((self.place / "pid").read_text()), signal.SIGTERM)
                _wait_for(lambda: not (self.place / "pid").exists(), "the engine to stop")

    def _start(self):
        settings = self.place / "daemon.json"
        settings.write_text(json.dumps({**gvisor.REGISTRATION, "bridge": "none", "iptables": False}))
        own = {
            "config-file": settings,
            "data-root": IMAGES,
            "exec-root": self.place / "exec",
            "pidfile": self.place / "pid",
            "host": self.address,
            "containerd-namespace": "autoresearch-tests",
            "containerd-plugins-namespace": "autoresearch-tests-plugins",
        }
        (self.place / "pid").unlink(missing_ok=True)  # of a daemon that was killed
        command = ["dockerd", "--ip6tables=false", *(f"--{name}={value}" for name, value in own.items())]
        with (self.place / "log").open("wb") as log:
            # Not a child: it may outlive the test process that happens to start it.
            subprocess.run(
                ["setsid", "--fork", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
            )
        _wait_for(self._answers, f"the engine to answer; see {self.place}/log")

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            try:
                line.connect(self.address.removeprefix("unix://"))
                line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 OK" in line.recv(100)
            except OSError:
                return False

    def _living(self):
        pids = json.loads(self._users.read_text()) if self._users.exists() else []
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def _write_users(self, pids):
        self._users.write_text(json.dumps(sorted(set(pids))))


def _has(client, image_id):
    try:
        client.images.get(image_id)
    except docker.errors.ImageNotFound:
        return False
    return True


def _copy(image_id, target):
    """From the machine's engine; an image's id is a digest of its content, so it stays."""
    for old in target.images.list(filters={"label": image.LABEL}):
        target.images.remove(old.id, force=True)
    source = docker.from_env(timeout=300)
    try:
        target.images.load(source.images.get(image_id).save())
    finally:
        source.close()
    target.images.get(image_id)


def _wait_for(condition, what, seconds=120):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited {seconds} s for {what}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def gvisor_engine():
    """Address of an engine with gVisor registered and the sandbox image on it."""
    missing = [name for name in ("dockerd", "runsc") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"an engine with gVisor needs root and {' and '.join(missing) or 'no more'}: make test installs them"
        )
    engine = OwnEngine()
    engine.join(image.find_or_build(print))
    yield engine.address
    engine.leave()


@pytest.fixture
def gvisor_sandbox(gvisor_engine):
    """Makes sandboxes of the gvisor tier, as `docker_sandbox` does of the docker tier."""
    folder, made = assets.sandbox(), []

    def make(shipped=frozenset(), **changes):
        given = {
            "harness": (folder / "harness.py").read_bytes(),
            "seccomp": (folder / "seccomp.json").read_bytes(),
            "client": docker.APIClient(gvisor_engine, timeout=60),
            "runtime": docker_policy.RUNSC,
            **changes,
        }
        made.append(DockerSandbox(image.find_or_build(print), shipped=shipped, **given))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture(scope="session")
def bubblewrap_root():
    if shutil.which("bwrap") is None or os.geteuid() != 0:
        pytest.skip("bubblewrap needs root and bwrap: make test installs it")
    return bubblewrap_root_of(assets.sandbox() / "requirements.lock", print)


@pytest.fixture
def bubblewrap_sandbox(bubblewrap_root):
    """Makes sandboxes of the bubblewrap tier, as `docker_sandbox` does of the docker tier."""
    folder = assets.sandbox()

    def make(shipped=frozenset(), **changes):
        given = {
            "harness": (folder / "harness.py").read_bytes(),
            "seccomp": (folder / "seccomp.json").read_bytes(),
            **changes,
        }
        return BubblewrapSandbox(bubblewrap_root, shipped=shipped, **given)

    return make
