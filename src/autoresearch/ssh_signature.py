"""Signatures as git keeps them: in a commit's `gpgsig` header, in OpenSSH's format.

Taken apart here, checked by `ssh-keygen -Y verify` with exactly one key allowed, so
that plain `git verify-commit` and this tool cannot disagree about the bytes.
"""

import base64
import binascii
import os
import re
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from autoresearch.errors import BackEndMissing
from autoresearch.records import RegisteredReviewer

NAMESPACE = "git"
INSTALL = "ssh-keygen is not installed, and signatures need it; apt-get install openssh-client"
_HEADER = b"gpgsig "
_ARMOR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,100}\n)+)-----END SSH SIGNATURE-----\n"
)
_MAGIC = b"SSHSIG"
_TOUCHED = 0x01
"""The flag a hardware key sets when somebody touched it (FIDO: user presence)."""


def with_signature(payload: bytes, signature: str) -> bytes:
    """A commit object with `signature` where git puts it: as the last header."""
    headers, blank, message = payload.partition(b"\n\n")
    lines = signature.rstrip("\n").replace("\n", "\n ")
    return headers + b"\n" + _HEADER + lines.encode() + blank + message


def split(raw: bytes) -> tuple[bytes, str]:
    """What a commit's signature covers, and the signature; empty if there is none, or more than one."""
    headers, blank, message = raw.partition(b"\n\n")
    kept: list[bytes] = []
    signatures: list[list[bytes]] = []
    inside = False
    for line in headers.split(b"\n"):
        if line.startswith(_HEADER):
            signatures.append([line.removeprefix(_HEADER)])
            inside = True
        elif inside and line.startswith(b" "):
            signatures[-1].append(line[1:])
        else:
            kept.append(line)
            inside = False
    signature = b"\n".join(signatures[0]) + b"\n" if len(signatures) == 1 else b""
    return b"\n".join(kept) + blank + message, signature.decode("ascii", "replace")


def message_of(payload: bytes) -> str:
    return payload.partition(b"\n\n")[2].decode("utf-8", "replace")


def why_invalid(payload: bytes, signature: str, key: RegisteredReviewer) -> str:
    """Why `signature` is not one of `payload` by `key`, made for git; empty if it is.

    Raises BackEndMissing where there is no ssh-keygen.
    """
    armored = _ARMOR.fullmatch(signature)
    if armored is None:
        return "it is not an OpenSSH signature"
    if key.key.startswith("sk-") and not _was_touched(armored[1]):
        return "nobody touched the hardware key for it"
    return (
        ""
        if _verifies(payload, signature, key.key)
        else f"it is not one by {key.fingerprint} over this commit"
    )


@lru_cache(maxsize=1024)
def _verifies(payload: bytes, signature: str, key: str) -> bool:
    """A signature that holds holds for good, and every walk asks again: so each is checked once."""
    with tempfile.TemporaryDirectory(prefix="autoresearch-verify-") as name:
        folder = Path(name)
        allowed, armored = folder / "allowed", folder / "signature"
        allowed.write_text(f"reviewer {key}\n")
        armored.write_text(signature)
        try:
            done = subprocess.run(
                [
                    "ssh-keygen",
                    "-Y",
                    "verify",
                    "-f",
                    allowed,
                    "-I",
                    "reviewer",
                    "-n",
                    NAMESPACE,
                    "-s",
                    armored,
                ],
                input=payload,
                capture_output=True,
                check=False,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            )
        except FileNotFoundError as error:
            raise BackEndMissing(INSTALL) from error
    return done.returncode == 0


def _was_touched(armored: str) -> bool:
    """PROTOCOL.sshsig and PROTOCOL.u2f: a hardware key's signature ends in a byte of flags and a counter.

    A key can be made so that it signs without a touch, and ssh-keygen accepts that; a decision does not.
    """
    try:
        data = base64.b64decode(armored.replace("\n", ""), validate=True)
        if not data.startswith(_MAGIC):
            return False
        rest = data[len(_MAGIC) + 4 :]
        fields = []
        for _ in range(5):  # public key, namespace, reserved, hash algorithm, signature
            field, rest = _string(rest)
            fields.append(field)
        _, inner = _string(fields[4])
        _, flags_and_counter = _string(inner)
    except (binascii.Error, ValueError):
        return False
    return len(flags_and_counter) == 5 and bool(flags_and_counter[0] & _TOUCHED)


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A length-prefixed string, and what follows it. Raises ValueError if it is cut."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise ValueError("cut short")
    return data[4 : 4 + size], data[4 + size :]
