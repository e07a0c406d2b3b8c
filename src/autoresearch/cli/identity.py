"""Who sits here, as git knows them: the name that decisions and proposals are recorded under."""

import subprocess
from pathlib import Path

from pydantic import ValidationError

from autoresearch.errors import InvalidInput
from autoresearch.records import Person, first_problem


def git_identity(folder: Path) -> Person:
    """Raises InvalidInput with the two commands to type if git knows no name or address."""
    name, email = git_setting("user.name", folder), git_setting("user.email", folder)
    if not name or not email:
        raise InvalidInput(
            "git knows no name and address for you, and decisions are recorded under them\n"
            'git config --global user.name "Your Name"\n'
            "git config --global user.email you@example.org"
        )
    try:
        return Person(name=name, email=email)
    except ValidationError as error:
        raise InvalidInput(f"git's user.name or user.email cannot be used: {first_problem(error)}") from error


def git_setting(key: str, folder: Path) -> str:
    """A setting of git's as it stands for `folder`; empty if it is not set."""
    done = subprocess.run(
        ["git", "config", "--get", key], capture_output=True, text=True, check=False, cwd=folder
    )
    return done.stdout.strip()
