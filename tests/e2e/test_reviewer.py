"""`reviewer add`, `reviewer list` and signed gates, as typed; the keys are ssh-keygen's."""

import re
import subprocess

import pytest

from autoresearch.errors import Pending
from autoresearch.testing import PERSON
from autoresearch.testing_project import drive, make_project


def make_key(path, passphrase=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "c", "-f", path], check=True)
    return path.with_suffix(".pub")


@pytest.fixture
def own_key(desk):
    return make_key(desk.home / ".ssh" / "id_ed25519")


@pytest.fixture(scope="module")
def waiting(tmp_path_factory, quick_file):
    """A project at its first gate; nothing here reaches the sandbox."""
    ledger = make_project(
        tmp_path_factory.mktemp("waiting") / "project", quick_file.read_text(), author=PERSON
    )
    with pytest.raises(Pending):
        drive(ledger, [])
    ledger.close()
    return ledger.root


@pytest.fixture
def project(waiting, copy_of):
    return copy_of(waiting)


def register(desk, project, *args):
    session = desk.terminal("reviewer", "add", *args, cwd=project)
    session.wait_for("reviewer added")
    session.type(session.digest())
    return session


@pytest.mark.docker
@pytest.mark.slow
def test_from_the_first_key_to_a_report_that_says_who_signed(desk, own_key, quick_file, image, tmp_path):
    project = desk.waiting(quick_file, tmp_path / "study")
    assert register(desk, project).end() == 0
    going = desk.terminal("run", cwd=project)
    going.approve()
    going.accept()
    assert going.end() == 0, going.screen
    desk.require_sound(project)
    listed = desk.run("reviewer", "list", cwd=project).out
    fingerprint = re.match(r"SHA256:\S+", listed)[0]
    assert listed == f"{fingerprint}  ssh-ed25519  Ada Reviewer <ada@example.org>\n"
    assert f"signed: 2 decisions, by Ada Reviewer <ada@example.org> {fingerprint}" in (
        desk.run("verify", cwd=project).out
    )
    assert desk.run("replay", cwd=project).code == 0
    (desk.home / "allowed").write_text(f"ada@example.org {own_key.read_text()}")
    desk.git("config", "--global", "gpg.ssh.allowedSignersFile", str(desk.home / "allowed"), cwd=project)
    for row in desk.log(project):
        if row["kind"] in ("approval", "acceptance", "config"):
            desk.git("verify-commit", row["commit"], cwd=project)  # raises unless git finds it good


def test_without_a_terminal_nothing_is_registered(desk, own_key, project):
    before = desk.git("rev-parse", "HEAD", cwd=project)
    done = desk.run("reviewer", "add", cwd=project)
    assert (done.code, done.out) == (3, "")
    assert "no terminal to ask at" in done.err
    assert desk.git("rev-parse", "HEAD", cwd=project) == before
    assert desk.git("status", "--porcelain", cwd=project) == ""


def test_no_leaves_everything_as_it_was(desk, own_key, project):
    session = desk.terminal("reviewer", "add", cwd=project)
    session.digest()
    session.type("no")
    assert session.end() == 3
    assert "nothing was recorded" in session.screen
    assert desk.git("status", "--porcelain", cwd=project) == ""


def test_a_second_key_needs_the_first_ones_signature(desk, own_key, project, tmp_path):
    assert register(desk, project).end() == 0
    theirs = make_key(tmp_path / "bob")
    bob = (str(theirs), "--name", "Bob Second", "--email", "bob@example.org")
    away = own_key.with_suffix("").rename(tmp_path / "away")
    refused = register(desk, project, *bob)
    assert refused.end() == 3
    assert "not at hand" in refused.screen
    assert "ssh-add" in refused.screen
    away.rename(own_key.with_suffix(""))
    done = register(desk, project, *bob)
    assert done.end() == 0, done.screen
    assert "Ada Reviewer <ada@example.org>, Bob Second <bob@example.org>" in done.screen.replace("\n", " ")
    assert desk.kinds(project)[-2:] == ["config", "config"]
    desk.require_sound(project)
    again = desk.run("reviewer", "add", str(theirs), cwd=project)
    assert again.code == 1
    assert "is registered already" in again.err


def test_a_passphrase_is_asked_for_at_the_terminal_and_a_wrong_one_records_nothing(desk, project):
    make_key(desk.home / ".ssh" / "id_ed25519", passphrase="open sesame")
    for typed, code, kind in (("close sesame", 3, "preflight"), ("open sesame", 0, "config")):
        session = register(desk, project)
        session.wait_for("Enter passphrase")
        session.type(typed)
        assert session.end() == code, session.screen
        assert desk.kinds(project)[-1] == kind
    desk.require_sound(project)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ((), 1, "make one: ssh-keygen -t ed25519"),
        (("nothing.pub",), 1, "nothing.pub holds no public key"),
        (("proposal.md",), 1, "cannot be registered: key: must be an OpenSSH public key"),
        (("proposal.md", "--name", "Bob"), 2, "--name and --email go together"),
    ],
)
def test_what_cannot_be_registered_is_named(desk, project, args, code, said):
    done = desk.run("reviewer", "add", *args, cwd=project)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err


def test_pending_changes_of_the_settings_come_first(desk, own_key, project):
    file = project / "autoresearch.toml"
    file.write_text(file.read_text().replace("max_attempts = 8", "max_attempts = 9"))
    done = desk.run("reviewer", "add", cwd=project)
    assert done.code == 1
    assert "changes that are not in force yet; first: autoresearch run" in done.err


def test_an_unsigned_project_says_how_to_change_that(desk, project):
    done = desk.run("reviewer", "list", cwd=project)
    assert done.out == (
        "no key is registered: decisions are unsigned; register one with: autoresearch reviewer add\n"
    )


def test_comments_in_the_settings_stay(desk, own_key, project):
    file = project / "autoresearch.toml"
    before = file.read_text()
    assert register(desk, project).end() == 0
    assert file.read_text().startswith(before.rstrip("\n"))
