"""Signs with the person's own SSH key, through ssh-keygen: from a file, an agent or a hardware key.

No private key is ever read here. ssh-keygen asks for a passphrase or a touch itself,
at the terminal, and what it gives back is checked before anybody relies on it.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from autoresearch.errors import BackEndMissing, InvalidInput, Pending
from autoresearch.records import Person, RegisteredReviewer, Reviewer
from autoresearch.ssh_signature import INSTALL, NAMESPACE, why_invalid

GO_ON = "nothing was recorded; come back with: autoresearch run"


class SshSigner:
    """`ports.Signer` for whoever sits here.

    `signing_key` is git's user.signingkey: a path, or the key itself; it may be empty.
    """

    def __init__(self, home: Path, signing_key: str = "", environ: Mapping[str, str] = os.environ) -> None:
        self._home = home
        self._signing_key = signing_key
        self._environ = environ

    def reviewer(self, person: Person, registered: Sequence[RegisteredReviewer]) -> Reviewer:
        own = [known for known in registered if known.person == person]
        if not own:
            who = "; ".join(str(known.person) for known in registered)
            raise Pending(
                f"git says you are {person}, and decisions here need the key of: {who}\n"
                "one of them registers yours with: autoresearch reviewer add KEY.pub --name NAME --email ADDRESS\n"
                f"{GO_ON}"
            )
        for known in own:
            if self._file_of(known) or self._in_agent(known):
                return Reviewer(person=person, key=known.fingerprint)
        fingerprints = " or ".join(known.fingerprint for known in own)
        raise Pending(
            f"the registered key {fingerprints} is not at hand\n"
            "name its file: git config --global user.signingkey ~/.ssh/KEY.pub\n"
            "or load it into an agent: ssh-add ~/.ssh/KEY\n"
            f"{GO_ON}"
        )

    def sign(self, payload: bytes, key: RegisteredReviewer) -> str:
        with self._key_file(key) as path:
            done = self._run(["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", path], payload)
        if done.returncode != 0:
            raise Pending(f"ssh-keygen did not sign with {key.fingerprint} (its reason is above); {GO_ON}")
        signature = done.stdout.decode("ascii", "replace")
        why = why_invalid(payload, signature, key)
        if why:
            raise Pending(f"ssh-keygen signed, but {why}; {GO_ON}")
        return signature

    # ----------------------------------------------------------------- internals

    @contextmanager
    def _key_file(self, key: RegisteredReviewer) -> Iterator[str]:
        """A file that names the key to ssh-keygen; for one that only an agent holds, made for the moment."""
        path = self._file_of(key)
        if path:
            yield str(path)
            return
        with tempfile.TemporaryDirectory(prefix="autoresearch-key-") as folder:
            made = Path(folder) / "key.pub"
            made.write_text(f"{key.key}\n")
            yield str(made)

    def _file_of(self, key: RegisteredReviewer) -> Path | None:
        """The .pub file of `key` beside its private half. ssh-keygen asks an agent for it first, if one has it."""
        for path in self._candidates():
            if path.with_suffix("").exists() and public_key_in(path) == key.key:
                return path
        return None

    def _candidates(self) -> Iterator[Path]:
        named = self._signing_key
        if named and not is_literal(named):
            path = expand(named, self._home)
            yield path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
        yield from sorted((self._home / ".ssh").glob("*.pub"))

    def _in_agent(self, key: RegisteredReviewer) -> bool:
        try:
            done = subprocess.run(
                ["ssh-add", "-L"], capture_output=True, text=True, check=False, env=dict(self._environ)
            )
        except FileNotFoundError as error:
            raise BackEndMissing(INSTALL) from error
        return any(line.split()[:2] == key.key.split() for line in done.stdout.splitlines())

    def _run(self, argv: list[str], payload: bytes) -> "subprocess.CompletedProcess[bytes]":
        try:
            # Its own words (a touch is due, a passphrase was wrong) go to the person as they come.
            return subprocess.run(
                argv, input=payload, stdout=subprocess.PIPE, check=False, env=dict(self._environ)
            )
        except FileNotFoundError as error:
            raise BackEndMissing(INSTALL) from error


def expand(name: str, home: Path) -> Path:
    """`name` as git reads a path in its settings."""
    return home / name.removeprefix("~/") if name.startswith("~/") else Path(name)


def is_literal(signing_key: str) -> bool:
    """Whether git's user.signingkey is the key itself and not a path."""
    return signing_key.startswith(("key::", "ssh-", "sk-", "ecdsa-"))


def public_key_in(path: Path) -> str:
    """The key in a .pub file, without its comment; empty if there is none."""
    try:
        return " ".join(path.read_text().split()[:2])
    except (OSError, UnicodeDecodeError):
        return ""


def default_key(home: Path, signing_key: str, key_format: str) -> str:
    """The public key that a person would sign with. Raises InvalidInput naming what to type."""
    if signing_key and (key_format == "ssh" or is_literal(signing_key)):
        if is_literal(signing_key):
            return " ".join(signing_key.removeprefix("key::").split()[:2])
        path = expand(signing_key, home)
        path = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    else:
        path = home / ".ssh" / "id_ed25519.pub"
    key = public_key_in(path)
    if not key:
        raise InvalidInput(
            f"there is no public key in {path}; name one: autoresearch reviewer add KEY.pub\n"
            "or make one: ssh-keygen -t ed25519 (with a hardware key: ssh-keygen -t ed25519-sk)"
        )
    return key
