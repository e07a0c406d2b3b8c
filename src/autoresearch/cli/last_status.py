"""The last status of each project, kept for the next time that it is asked for.

What a status says follows from the history, and the history from the id of its last commit; and from
whether the settings' file still says what is in force. So while nothing new is recorded and that file is
not changed, `status` reads no object and loads nothing that could, however long the history. It is kept in the person's home, not in the project: whoever made a project could have
written it there.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from autoresearch import __version__
from autoresearch.adapters.git_place import last_commit
from autoresearch.reporting.status_page import Status


def kept(root: Path, environ: Mapping[str, str]) -> Status | None:
    """The status of the project as it is now; None if it has to be worked out."""
    head, place = last_commit(root), _place(root, environ)
    if not head or place is None:
        return None
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or [found.get(name) for name in ("head", "version", "settings")] != [
        head,
        __version__,
        _settings(root),
    ]:
        return None
    now = found.get("status")
    if not isinstance(now, dict) or set(now) != {field.name for field in fields(Status)}:
        return None
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in now.items()}
    return Status(**values)


def keep(root: Path, head: str, now: Status, environ: Mapping[str, str]) -> None:
    """Where it cannot be written, the next status is worked out again: that is no error."""
    place = _place(root, environ)
    if place is None:
        return
    text = json.dumps(
        {
            "version": __version__,
            "project": str(root),
            "head": head,
            "settings": _settings(root),
            "status": asdict(now),
        }
    )
    with suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(place)


def _settings(root: Path) -> str:
    """SHA-256 of the settings' file; empty where it cannot be read."""
    file = root / "autoresearch.toml"  # `layout` has its name, and loads the records
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    except OSError:
        return ""


def _place(root: Path, environ: Mapping[str, str]) -> Path | None:
    base, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    # A relative one is to be ignored, says the specification; it would lead into the project.
    folder = Path(base) if Path(base).is_absolute() else Path(home) / ".local" / "state"
    if not folder.is_absolute():
        return None
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
    return folder / "autoresearch" / "status" / f"{name}.json"
