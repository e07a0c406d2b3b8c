"""What a bubblewrap sandbox sees of the machine: its programs and libraries, read-only, and the locked packages.

There is no image without an engine. The Python that runs autoresearch runs the experiment too, with
the packages of `sandbox/requirements.lock`, and a digest of all that stands where an image's id would.
"""

import hashlib
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from autoresearch.adapters.image import Interpreter, Say, cache_dir, wheels_of
from autoresearch.door import manifest_digest
from autoresearch.errors import SandboxFailed
from autoresearch.records import digest_of

SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64")
"""Not all of /usr: /usr/local and /usr/share may hold what is nobody's business."""
PACKAGE_LISTS = (Path("/var/lib/dpkg/status"), Path("/etc/os-release"))
"""What says which versions SYSTEM holds; the first that is there."""


@dataclass(frozen=True)
class Root:
    identity: str
    """`sha256:…` over interpreter, packages and the machine's list of installed software."""
    interpreter: str
    """Its path, the same inside: its own libraries are found by that."""
    prefix: Path | None
    """The interpreter's own directory; None: it lies in /usr."""
    packages: Path
    """Seen as /packages."""


def find_or_make(lock: Path, progress: Say) -> Root:
    """The root of this machine; the packages are installed first where they are missing (half a minute).

    Raises BackEndMissing if they cannot be downloaded, SandboxFailed if they do not install.
    """
    packages = _packages(lock, progress)
    base, prefix = Path(getattr(sys, "_base_executable", sys.executable)).resolve(), Path(sys.base_prefix)
    own = None if prefix == Path("/usr") else prefix
    software = next(path for path in PACKAGE_LISTS if path.is_file())
    identity = digest_of(
        {
            "python": sys.version,
            "interpreter": hashlib.sha256(base.read_bytes()).hexdigest(),
            "libc": "-".join(platform.libc_ver()),
            "machine": platform.machine(),
            "software": hashlib.sha256(software.read_bytes()).hexdigest(),
            "packages": _tree_digest(packages),
        }
    )
    return Root(f"sha256:{identity}", str(base), own, packages)


def _packages(lock: Path, progress: Say) -> Path:
    from filelock import FileLock

    interpreter = Interpreter(
        sys.version_info[:2], platform.machine(), _glibc(), f"cp{sys.version_info[0]}{sys.version_info[1]}"
    )
    key = f"{manifest_digest({'lock': lock.read_bytes()})[:16]}-{interpreter.site}-{interpreter.machine}"
    packages = cache_dir() / "packages" / key
    packages.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(packages.parent / "lock"):
        if not packages.is_dir():
            progress(
                "bubblewrap: the sandbox's packages are not there yet; installing them takes half a minute, once"
            )
            _install(lock, wheels_of(lock, interpreter, cache_dir()), packages)
    return packages


def _install(lock: Path, found: Path, packages: Path) -> None:
    with tempfile.TemporaryDirectory(dir=packages.parent) as scratch:
        target = Path(scratch) / "packages"
        done = subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
                "--no-index", f"--find-links={found}", "--require-hashes", "--no-deps", "--target", str(target),
                "--root-user-action=ignore", "--requirement", str(lock),
            ],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SandboxFailed(f"the sandbox's packages did not install:\n{done.stderr[-2000:]}")
        target.rename(packages)


def _glibc() -> tuple[int, int]:
    major, minor = platform.libc_ver()[1].split(".")[:2]
    return int(major), int(minor)


def _tree_digest(folder: Path) -> str:
    """Over the path and content of every file."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)}\0{content}\n".encode())
    return digest.hexdigest()
