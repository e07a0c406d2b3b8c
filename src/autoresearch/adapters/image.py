"""The sandbox image: found by what it is built from, built where it is missing.

An image carries the digest of its build inputs as a label, so a changed
`sandbox/Dockerfile` or `sandbox/requirements.lock` is another image. `harness.py`
and `seccomp.json` are not in it: the harness is sent with each job and the
profile given to the engine, and an approval names both by digest of their own.

The base is a public Python image where a registry answers, else a root file
system made from this machine's own Debian or Ubuntu package sources. The Python
packages are the same locked wheels in both; only this host touches a network.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, NewType

from autoresearch import assets
from autoresearch.adapters import engine
from autoresearch.door import manifest_digest
from autoresearch.errors import BackEndMissing, SandboxFailed

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

ImageId = NewType("ImageId", str)
"""In full: `sha256:` and 64 hex digits. Names and tags move; this does not."""

Say = Callable[[str], None]

INPUTS = ("Dockerfile", "requirements.lock")
LABEL = "autoresearch.sandbox"
"""On the finished image: digest of its build inputs."""
OWN_BASE = "autoresearch-base"
"""Repository of the root file systems of our own making; the tag is the release and how it was made."""
STAGE_LABEL = "autoresearch.stage=packages"
"""On the build's first stage, which is not kept."""
PUBLIC_BASE = (
    "python:3.12.12-slim-bookworm@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c"
)
DISTRIBUTIONS = ("Debian", "Ubuntu")
"""`Origin` of the package sources that a base may be made from: not a third party's."""
OLDEST_GLIBC_MINOR = 17
"""manylinux_2_17 (manylinux2014) is the oldest wheel that any locked package offers."""
LOG_LINES = 15
BUILD_SECONDS = 1200
"""Backstop on one answer of the engine during import and build; both take well under a minute."""

_PROBE = """
import json, platform, sys, sysconfig
print(json.dumps([list(sys.version_info[:2]), platform.machine(), platform.libc_ver()[1], sysconfig.get_path("purelib")]))
"""


class Interpreter(NamedTuple):
    """What decides which wheels fit a base, and where they go."""

    version: tuple[int, int]
    machine: str
    glibc: tuple[int, int]
    site: str


def find() -> ImageId | None:
    """The image of this release's sandbox, or None. Raises BackEndMissing without an engine."""
    with connected() as client:
        return _find(client, inputs_digest(assets.sandbox()))


def find_or_build(progress: Say) -> ImageId:
    """The image of this release's sandbox, built first where it is missing (about a minute).

    Raises BackEndMissing without an engine, a base or the wheels; SandboxFailed if the build fails.
    """
    return build_from(assets.sandbox(), progress)


def build_from(source: Path, progress: Say) -> ImageId:
    """`find_or_build` for the build inputs in `source`. Safe to call from several processes."""
    from filelock import FileLock

    digest = inputs_digest(source)
    with connected() as client:
        if (found := _find(client, digest)) is not None:
            return found
        cache = cache_dir()
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "image.lock"):
            # Another process may have built it while this one waited.
            return _find(client, digest) or _build(client, source, digest, cache, progress)


def inputs_digest(source: Path) -> str:
    """SHA-256 over the names and bytes of what the image is built from."""
    return manifest_digest({name: (source / name).read_bytes() for name in INPUTS})


def cache_dir() -> Path:
    """Wheels and the build lock, where this platform keeps what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoresearch"


@contextmanager
def connected() -> Iterator["DockerClient"]:
    """A connected client; what the engine refuses becomes SandboxFailed."""
    from docker.errors import DockerException

    client = engine.connect(BUILD_SECONDS)
    try:
        yield client
    except DockerException as error:
        said = getattr(error, "explanation", None) or error  # an APIError's own text is mostly its address
        raise SandboxFailed(f"the Docker engine failed on the sandbox image: {said}") from error
    finally:
        client.close()


def _find(client: "DockerClient", digest: str) -> ImageId | None:
    return find_labelled(client, LABEL, digest)


def find_labelled(client: "DockerClient", label: str, digest: str) -> ImageId | None:
    """The image that carries `digest` under `label`."""
    images: list[Image] = client.images.list(filters={"label": f"{label}={digest}"})
    # An image made from it has its label, too, and is younger.
    oldest = min(images, key=lambda image: str(image.attrs["Created"]), default=None)
    return None if oldest is None else ImageId(str(oldest.id))


def _build(client: "DockerClient", source: Path, digest: str, cache: Path, progress: Say) -> ImageId:
    progress("sandbox image: not there yet; making it takes about a minute, once")
    with stage(progress) as done:
        base, origin = _base(client, cache)
        done(f"base, {origin}")
    interpreter = interpreter_of(client, base)
    with stage(progress) as done:
        wheels = wheels_of(source / "requirements.lock", interpreter, cache)
        done(
            f"{len(list(wheels.glob('*.whl')))} packages for Python {interpreter.version[0]}.{interpreter.version[1]}, by hash"
        )
    with stage(progress) as done:
        with tempfile.TemporaryFile() as context:
            write_context(context, {name: source / name for name in INPUTS} | {"wheels": wheels})
            run_build(
                client,
                context,
                Build(
                    "Dockerfile",
                    {"BASE": base, "SITE": interpreter.site},
                    LABEL,
                    digest,
                    "autoresearch-sandbox",
                ),
            )
        image = _find(client, digest)
        if image is None:
            raise SandboxFailed("the engine reported a finished build, but the sandbox image is not there")
        done(image[:19])
    return image


@contextmanager
def stage(progress: Say, of: str = "sandbox image") -> Iterator[Say]:
    """Yields a function that reports the finished stage with its elapsed time."""
    start = time.monotonic()
    yield lambda what: progress(f"{of}: {what} ... {time.monotonic() - start:.0f} s")


# ------------------------------------------------------------------------ base


def _base(client: "DockerClient", cache: Path) -> tuple[str, str]:
    """The base's name, and in words where it came from.

    A name, not an ID: given the same ID for both stages, the engine's classic builder
    (seen with 20.10) starts the second from the first one's layers.
    """
    from docker.errors import APIError

    suite = _suite()
    own = f"{OWN_BASE}:{suite}-{manifest_digest({'recipe': ' '.join(_RECIPE).encode()})[:8]}"
    for base, origin in ((PUBLIC_BASE, PUBLIC_BASE.partition("@")[0]), (own, f"{suite} root file system")):
        if _is_there(client, base):
            return base, f"{origin}, already there"
    try:
        client.images.pull(PUBLIC_BASE)  # fails at once where no registry is reached
    except APIError as error:
        _make_base(client, suite, own, cache, refusal=str(error.explanation or error))
        return own, f"{suite} root file system from this machine's package sources"
    return PUBLIC_BASE, PUBLIC_BASE.partition("@")[0]


def _is_there(client: "DockerClient", name: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _suite() -> str | None:
    """The release this machine runs, e.g. `bookworm`; None where it has no such packages."""
    release = Path("/etc/os-release")
    lines = release.read_text(encoding="utf-8").splitlines() if release.is_file() else []
    named = dict(line.split("=", 1) for line in lines if "=" in line)
    return named.get("VERSION_CODENAME", "").strip('"') or None if shutil.which("apt-get") else None


def _make_base(client: "DockerClient", suite: str | None, name: str, cache: Path, *, refusal: str) -> None:
    """Import as `name` a root file system made by mmdebstrap. Raises BackEndMissing with the mend."""
    why = f"no base for the sandbox image: {PUBLIC_BASE.partition('@')[0]} could not be pulled ({refusal})"
    if suite is None:
        raise BackEndMissing(
            f"{why}\nload it from a machine with a network: docker save there, docker load here"
        )
    sudo = "" if os.geteuid() == 0 else "sudo "
    if shutil.which("mmdebstrap") is None:
        raise BackEndMissing(
            f"{why}, and mmdebstrap, which makes one from this machine's packages, is not installed\n"
            f"install it: {sudo}apt-get update && {sudo}apt-get install mmdebstrap; then: {sudo}autoresearch sandbox build"
        )
    if sudo:
        raise BackEndMissing(
            f"{why}\nmake one from this machine's packages, as root: sudo autoresearch sandbox build"
        )
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        root = Path(scratch) / "root.tar"
        _run(
            ["mmdebstrap", *_RECIPE, suite, str(root), *_sources(suite)],
            BackEndMissing(f"{why}, and mmdebstrap could not make one from this machine's packages"),
        )
        repository, tag = name.split(":")
        client.api.import_image_from_file(str(root), repository=repository, tag=tag)


_RECIPE = (
    "--quiet",
    "--variant=essential",
    "--include=python3,libstdc++6",  # numpy and scipy link to the C++ library, and wheels do not carry it
    *(f"--dpkgopt=path-exclude=/usr/share/{unread}/*" for unread in ("doc", "man", "locale")),
)


def _sources(suite: str) -> list[str]:
    """The machine's own sources of the distribution's main packages, as lines of a sources.list.

    Empty if its package lists were never fetched: mmdebstrap then takes the distribution's default.
    """
    fields = "\t".join(f"$({name})" for name in ("ORIGIN", "COMPONENT", "RELEASE", "REPO_URI", "SIGNED_BY"))
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    lines = []
    for origin, component, release, uri, signed_by in (line.split("\t") for line in listed.splitlines()):
        if origin in DISTRIBUTIONS and component == "main" and release.partition("-")[0] == suite:
            option = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
            lines.append(f"deb {option}{uri} {release} main")
    return list(dict.fromkeys(lines))


def interpreter_of(client: "DockerClient", base: str) -> Interpreter:
    answer = client.containers.run(
        base, ["python3", "-c", _PROBE], network_mode="none", cap_drop=["ALL"], read_only=True, remove=True
    )
    version, machine, glibc, site = json.loads(answer)
    major, minor = (int(part) for part in glibc.split(".")[:2])
    return Interpreter((version[0], version[1]), machine, (major, minor), site)


# ---------------------------------------------------------------------- wheels


def wheels_of(lock: Path, interpreter: Interpreter, cache: Path, options: Sequence[str] = ()) -> Path:
    """Directory with exactly the lock's wheels for `interpreter`. Raises BackEndMissing.

    `options` go to pip beside its own configuration: where to look for them.
    """
    tag = f"cp{interpreter.version[0]}{interpreter.version[1]}"
    key = f"{manifest_digest({'lock': lock.read_bytes()})[:16]}-{tag}-{interpreter.machine}-{interpreter.glibc[1]}"
    wheels = cache / "wheels" / key
    if wheels.is_dir():
        return wheels
    wheels.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheels.parent) as scratch:
        complete = Path(scratch) / "complete"
        _run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check",
                "--require-hashes", "--only-binary=:all:", "--no-deps", "--dest", str(complete),
                "--implementation=cp", f"--python-version={interpreter.version[0]}.{interpreter.version[1]}",
                f"--abi={tag}", "--abi=abi3", "--abi=none", *_platforms(interpreter), *options, "--requirement", str(lock),
            ],
            BackEndMissing(f"the Python packages of {lock.name} could not be downloaded"),
        )  # fmt: skip
        complete.rename(wheels)
    return wheels


def _platforms(interpreter: Interpreter) -> Iterable[str]:
    """Every manylinux tag that the base's glibc satisfies, newest first: pip does not derive them."""
    major, minor = interpreter.glibc
    for old in range(minor, OLDEST_GLIBC_MINOR - 1, -1):
        yield f"--platform=manylinux_{major}_{old}_{interpreter.machine}"
    yield f"--platform=manylinux2014_{interpreter.machine}"
    yield "--platform=any"


# ----------------------------------------------------------------------- build


class Build(NamedTuple):
    dockerfile: str
    arguments: dict[str, str]
    label: str
    """Carries `digest` on the finished image."""
    digest: str
    repository: str


def run_build(client: "DockerClient", context: IO[bytes], build: Build) -> None:
    """Build without a network. Raises SandboxFailed with the end of what the build said."""
    answers = client.api.build(
        fileobj=context,
        custom_context=True,
        decode=True,
        dockerfile=build.dockerfile,
        buildargs=build.arguments,
        labels={LABEL: "", build.label: build.digest},  # what is made from the sandbox image is not it
        tag=f"{build.repository}:{build.digest[:12]}",
        network_mode="none",
        use_config_proxy=False,
        nocache=True,
        rm=True,
        forcerm=True,
    )
    log, error = "", ""
    for answer in answers:  # to its end, which closes the connection
        log += _COLOUR.sub("", str(answer.get("stream", "")))
        error = error or str(answer.get("error", ""))
    client.images.prune(filters={"dangling": True, "label": STAGE_LABEL})
    if error:
        raise SandboxFailed(f"the image {build.repository} did not build:\n{_tail(log)}\n{error}")


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""The engine paints what a build step says on standard error."""


def write_context(target: IO[bytes], parts: Mapping[str, Path]) -> None:
    """An archive of files and directories under the names that the Dockerfile knows."""
    with tarfile.open(fileobj=target, mode="w") as context:
        for name, place in parts.items():
            context.add(place, name)
    target.seek(0)


def _run(command: list[str], failure: BackEndMissing) -> None:
    """Run `command`; raise `failure`, completed by the end of what the command said, if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise type(failure)(f"{failure}:\n{_tail(done.stderr or done.stdout)}")


def _tail(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines()[-LOG_LINES:])


def main() -> int:
    """`python -m autoresearch.adapters.image`: find or build; the ID on standard output."""
    try:
        print(find_or_build(lambda line: print(line, file=sys.stderr)))
    except (BackEndMissing, SandboxFailed) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
