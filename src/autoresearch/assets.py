"""What ships with the package besides its code: workflows, sandbox, examples, the tool's lock.

In a checkout these are directories beside `src/`; in an installed wheel they lie in
`autoresearch/_assets/` (pyproject.toml puts them there).
"""

import hashlib
from functools import cache
from pathlib import Path

from autoresearch.door import manifest_digest
from autoresearch.errors import AutoresearchError

PACKAGE = Path(__file__).resolve().parent


def workflows() -> Path:
    """Directory: one workflow per sub-directory."""
    return _asset("workflows")


STANDARD = "standard"


def workflow_names() -> list[str]:
    """The standard one first."""
    found = sorted(path.parent.name for path in workflows().glob("*/workflow.yaml"))
    return [STANDARD, *(name for name in found if name != STANDARD)]


def workflow_file(name: str) -> Path:
    """The workflow.yaml of a shipped workflow."""
    return workflows() / name / "workflow.yaml"


def workflow_files(file: Path) -> dict[str, bytes]:
    """A workflow.yaml and its prompts, by path below `workflow/`. Prompts that are not beside it are the standard ones.

    Raises OSError.
    """
    found = {"workflow.yaml": file.read_bytes()}
    for prompts in (workflows() / STANDARD / "prompts", file.parent / "prompts"):
        found |= {f"prompts/{path.name}": path.read_bytes() for path in sorted(prompts.glob("*.md"))}
    return found


def sandbox() -> Path:
    """Directory: Dockerfile, requirements.lock, harness.py, seccomp.json."""
    return _asset("sandbox")


def examples() -> Path:
    """Directory: one example per sub-directory, each with its `proposal.md`."""
    return _asset("examples")


def tool_lock_digest() -> str:
    """SHA-256, in hex, of the lock that names every package this release was tested with."""
    return hashlib.sha256(_asset("requirements.lock").read_bytes()).hexdigest()


@cache
def shipped_experiments() -> frozenset[str]:
    """`manifest_digest` of every shipped example's experiment, as the door compares it.

    Read from the proposals themselves, so that no second list can disagree with them.
    """
    from autoresearch.proposal import parse_proposal

    digests = set()
    for path in sorted(examples().glob("*/proposal.md")):
        files = parse_proposal(path.read_text(encoding="utf-8")).files
        digests.add(manifest_digest(files))
    return frozenset(digests)


def _asset(name: str) -> Path:
    """Raises AutoresearchError if this installation is not whole."""
    for root in (PACKAGE / "_assets", PACKAGE.parents[1]):
        if (root / name).exists():
            return root / name
    raise AutoresearchError(
        f"this installation of autoresearch lacks its {name} (looked in {PACKAGE / '_assets'} and {PACKAGE.parents[1]}): "
        "install it again"
    )
