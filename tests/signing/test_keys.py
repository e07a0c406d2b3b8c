"""Keys where people keep them: a file, an agent, a token; and what ssh-keygen makes of each."""

import base64
import hashlib
import os
import subprocess
from dataclasses import dataclass

import pytest

from autoresearch.adapters.ssh_signer import SshSigner, default_key
from autoresearch.errors import InvalidInput, Pending
from autoresearch.records import RegisteredReviewer
from autoresearch.ssh_signature import split, why_invalid, with_signature

PAYLOAD = b"tree 0\nauthor A <a> 0 +0000\n\na: message\n\nof two paragraphs\n"


def test_a_signature_goes_in_and_comes_out_as_git_has_it(people):
    signature = people.ada.sign(PAYLOAD)
    raw = with_signature(PAYLOAD, signature)
    assert split(raw) == (PAYLOAD, signature)
    assert split(PAYLOAD) == (PAYLOAD, "")
    assert raw.startswith(b"tree 0\nauthor A <a> 0 +0000\ngpgsig -----BEGIN SSH SIGNATURE-----\n ")
    assert why_invalid(PAYLOAD, signature, people.ada.registered) == ""
    assert "not one by" in why_invalid(PAYLOAD + b" ", signature, people.ada.registered)


def test_an_indented_line_elsewhere_is_no_part_of_a_signature(people):
    """Another header may have lines of its own, and they are covered."""
    tagged = PAYLOAD.replace(b"\n\na:", b"\nmergetag object 0\n type commit\n\na:")
    raw = with_signature(tagged, people.ada.sign(tagged))
    assert split(raw)[0] == tagged


def test_a_key_in_an_agent_signs_with_no_file_of_it(holder):
    grace = holder("grace", "grace@example.org")
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(
        part.split("=", 1) for part in agent.replace("\n", ";").split(";") if part.startswith("SSH_")
    )
    environ = {"PATH": os.environ["PATH"], **found}
    try:
        private = grace.home / ".ssh" / "id"
        subprocess.run(["ssh-add", "-q", private], env=environ, check=True, capture_output=True)
        private.unlink()
        signer = SshSigner(grace.home, environ=environ)
        assert signer.reviewer(grace.person, [grace.registered]) == grace.identity
        assert why_invalid(PAYLOAD, signer.sign(PAYLOAD, grace.registered), grace.registered) == ""
        with pytest.raises(Pending, match="not at hand"):
            grace.signer.reviewer(grace.person, [grace.registered])
    finally:
        subprocess.run(["ssh-agent", "-k"], env=environ, check=True, capture_output=True)


def test_the_key_that_git_signs_with_is_found_where_git_finds_it(holder, tmp_path):
    heidi = holder("heidi", "heidi@example.org")
    moved = tmp_path / "elsewhere"
    (heidi.home / ".ssh").rename(moved)
    for name in (str(moved / "id"), str(moved / "id.pub")):
        signer = SshSigner(heidi.home, name, environ={"PATH": os.environ["PATH"]})
        assert signer.reviewer(heidi.person, [heidi.registered]) == heidi.identity
        assert signer.sign(PAYLOAD, heidi.registered)


def test_a_passphrase_that_nobody_types_signs_nothing(holder, capfd):
    ivan = holder("ivan", "ivan@example.org", passphrase="not told")
    environ = {"PATH": os.environ["PATH"], "SSH_ASKPASS_REQUIRE": "force", "SSH_ASKPASS": "/bin/false"}
    with pytest.raises(Pending, match=r"did not sign .*nothing was recorded"):
        SshSigner(ivan.home, environ=environ).sign(PAYLOAD, ivan.registered)
    assert "incorrect passphrase" in capfd.readouterr().err


def test_a_public_key_beside_another_private_one_is_found_out(people, holder):
    judy = holder("judy", "judy@example.org")
    (judy.home / ".ssh" / "id").write_bytes((people.eve.home / ".ssh" / "id").read_bytes())
    with pytest.raises(Pending, match="nothing was recorded"):
        judy.signer.sign(PAYLOAD, judy.registered)


def test_what_reviewer_add_takes_by_default(people, tmp_path):
    home, key = people.ada.home, people.ada.registered.key
    assert default_key(home, str(home / ".ssh" / "id"), "ssh") == key
    assert default_key(home, "~/.ssh/id.pub", "ssh") == key
    assert default_key(home, f"key::{key} a comment", "") == key
    assert default_key(home, key, "openpgp") == key
    # A signing key of OpenPGP is none of ours.
    with pytest.raises(InvalidInput, match=r"id_ed25519.pub; name one: autoresearch reviewer add KEY.pub"):
        default_key(home, "0123ABCD", "openpgp")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(f"{key} ada@laptop\n")
    assert default_key(tmp_path, "", "") == key


# ------------------------------------------------------- hardware keys, without the hardware

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def add(a, b):
    """On edwards25519, in plain coordinates: slow, short, and for tests only."""
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, P - 2, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, P - 2, P)
    return x % P, y % P


def times(n, point):
    total = (0, 1)
    while n:
        total, point, n = (add(total, point) if n & 1 else total), add(point, point), n >> 1
    return total


def packed(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def string(data):
    return len(data).to_bytes(4, "big") + data


@dataclass(frozen=True)
class SoftToken:
    """What an ed25519-sk key computes (PROTOCOL.u2f), with the touch as an argument."""

    secret: bytes = b"\x07" * 32
    kind: bytes = b"sk-ssh-ed25519@openssh.com"

    @property
    def _scalar(self):
        h = bytearray(hashlib.sha512(self.secret).digest()[:32])
        h[0] &= 248
        h[31] = h[31] & 63 | 64
        return int.from_bytes(h, "little")

    @property
    def public(self):
        return packed(times(self._scalar, BASE))

    @property
    def registered(self):
        blob = string(self.kind) + string(self.public) + string(b"ssh:")
        text = f"{self.kind.decode()} {base64.b64encode(blob).decode()}"
        return RegisteredReviewer(name="Ada Reviewer", email="ada@example.org", key=text)

    def _ed25519(self, message):
        prefix = hashlib.sha512(self.secret).digest()[32:]
        r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % ORDER
        point = packed(times(r, BASE))
        h = int.from_bytes(hashlib.sha512(point + self.public + message).digest(), "little")
        return point + ((r + h * self._scalar) % ORDER).to_bytes(32, "little")

    def sign(self, payload, *, flags):
        head = string(b"git") + string(b"") + string(b"sha512")
        covered = b"SSHSIG" + head + string(hashlib.sha512(payload).digest())
        end = bytes([flags]) + (1).to_bytes(4, "big")
        message = hashlib.sha256(b"ssh:").digest() + end + hashlib.sha256(covered).digest()
        signature = string(self.kind) + string(self._ed25519(message)) + end
        public = string(self.kind) + string(self.public) + string(b"ssh:")
        blob = b"SSHSIG" + (1).to_bytes(4, "big") + string(public) + head + string(signature)
        lines = base64.encodebytes(blob).decode()
        return f"-----BEGIN SSH SIGNATURE-----\n{lines}-----END SSH SIGNATURE-----\n"


def test_a_touched_hardware_key_counts():
    token = SoftToken()
    for flags in (0x01, 0x05):  # touched; touched and with a PIN
        assert why_invalid(PAYLOAD, token.sign(PAYLOAD, flags=flags), token.registered) == ""


def test_one_that_nobody_touched_does_not_though_ssh_keygen_takes_it(tmp_path):
    token = SoftToken()
    signature = token.sign(PAYLOAD, flags=0x00)
    assert why_invalid(PAYLOAD, signature, token.registered) == "nobody touched the hardware key for it"
    (tmp_path / "allowed").write_text(f"ada {token.registered.key}\n")
    (tmp_path / "signature").write_text(signature)
    argv = ["ssh-keygen", "-Y", "verify", "-n", "git", "-I", "ada", "-f", "allowed", "-s", "signature"]
    alone = subprocess.run(argv, input=PAYLOAD, cwd=tmp_path, capture_output=True, check=False)
    assert alone.returncode == 0, "if ssh-keygen refuses this by itself one day, our check can go"


def test_the_touch_cannot_be_written_in_afterwards():
    token = SoftToken()
    untouched = token.sign(PAYLOAD, flags=0x00)
    blob = bytearray(base64.b64decode("".join(untouched.split("\n")[1:-2])))
    blob[-5] = 0x01
    lines = base64.encodebytes(bytes(blob)).decode()
    forged = f"-----BEGIN SSH SIGNATURE-----\n{lines}-----END SSH SIGNATURE-----\n"
    assert "not one by" in why_invalid(PAYLOAD, forged, token.registered)


@pytest.mark.parametrize("keep", [0, 3, 20, 60, 150])
def test_a_hardware_keys_signature_cut_short_is_refused(keep):
    token = SoftToken()
    blob = base64.b64decode("".join(token.sign(PAYLOAD, flags=0x01).split("\n")[1:-2]))
    lines = base64.encodebytes(blob[:keep]).decode() or "AAAA\n"
    cut = f"-----BEGIN SSH SIGNATURE-----\n{lines}-----END SSH SIGNATURE-----\n"
    assert why_invalid(PAYLOAD, cut, token.registered)
