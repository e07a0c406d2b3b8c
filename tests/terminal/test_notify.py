"""The command that tells a person elsewhere: theirs alone, without a shell, and never in the way."""

import os
import re
import sys
import time
from pathlib import Path

import pytest

from autoresearch.adapters.notify import Notifier
from autoresearch.cli.user_config import config_path, read_user_config
from autoresearch.config import parse_settings
from autoresearch.errors import InvalidInput


@pytest.fixture
def notify(tmp_path):
    """Run a notifier; gives back its warnings and what its command wrote."""
    out = tmp_path / "told"
    writes = f"import os, sys; open({str(out)!r}, 'w').write(repr((sys.argv[1:], dict(os.environ))))"

    def run(*arguments, title="A title", argv=None, seconds=20):
        warnings = []
        environ = {"PATH": os.environ["PATH"], "KEPT": "yes"}
        command = argv or [sys.executable, "-c", writes, *arguments]
        Notifier(command, "/some/project", environ, warnings.append, seconds)("approve", title)
        return warnings, out.read_text() if out.exists() else ""

    return run


def test_the_command_is_told_gate_title_and_project(notify):
    warnings, told = notify("{gate} waits: {title}", "{project}", "{other} {", "$(id); `id`")
    arguments, environ = eval(told)
    assert arguments == ["approve waits: A title", "/some/project", "{other} {", "$(id); `id`"]
    assert environ["AUTORESEARCH_GATE"] == "approve"
    assert environ["AUTORESEARCH_TITLE"] == "A title"
    assert environ["AUTORESEARCH_PROJECT"] == "/some/project"
    assert environ["KEPT"] == "yes"
    assert warnings == []


def test_a_hostile_title_stays_a_title(notify):
    hostile = "--exec=rm {project}\x1b[2J\n\0; touch /tmp/owned" + "x" * 999
    _, told = notify("{title}", title=hostile)
    (argument,), _ = eval(told)
    assert argument.startswith("exec=rm {project}␛[2J ␀; touch")
    assert len(argument) <= 200


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["/nowhere/notify"], "notify_command did not start: No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "notify_command ended with 3"),
    ],
)
def test_a_failure_is_a_warning(notify, argv, said):
    assert notify(argv=argv)[0] == [said]


def test_a_command_that_hangs_is_stopped_with_what_it_started(notify, tmp_path):
    pid = tmp_path / "pid"
    warnings, _ = notify(argv=["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], seconds=2)
    assert warnings == ["notify_command took longer than 2 s and was stopped"]
    # A killed process dies in its own time: with one processor, after who killed it goes on.
    give_up = time.monotonic() + 30
    while _lives(pid.read_text().strip()):
        assert time.monotonic() < give_up, "what the command started lives on"
        time.sleep(0.01)


def _lives(pid):
    """Whether it is there, and not dead and waiting for whoever adopted it to reap it."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# ------------------------------------------------------------- whose it is


@pytest.fixture
def home(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / ".config" / "autoresearch" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(mode)
        return {"HOME": str(tmp_path)}

    return write


def test_the_persons_own_file_is_read(home):
    assert read_user_config(home('notify_command = ["notify-send", "{title}"]\n')).notify_command == [
        "notify-send",
        "{title}",
    ]


def test_without_a_file_nothing_is_run(tmp_path):
    assert read_user_config({"HOME": str(tmp_path)}).notify_command == []


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ('notify_command = "rm -rf ~"\n', 0o600, "notify_command: Input should be a valid list"),
        ('notify_comand = ["true"]\n', 0o600, "unknown setting notify_comand; did you mean notify_command?"),
        ("notify_command = [\n", 0o600, "not TOML"),
        (
            'notify_command = ["true"]\n',
            0o666,
            "can be written by others, so it is not used; mend with: chmod 600",
        ),
        ('notify_command = ["true"]\n', 0o620, "can be written by others"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(home, text, mode, said):
    with pytest.raises(InvalidInput, match=re.escape(said)):
        read_user_config(home(text, mode))


def test_a_relative_config_home_does_not_lead_into_the_project(tmp_path):
    assert config_path({"XDG_CONFIG_HOME": ".", "HOME": str(tmp_path)}) == config_path(
        {"HOME": str(tmp_path)}
    )
    assert config_path({"XDG_CONFIG_HOME": "/x", "HOME": "/y"}).as_posix() == "/x/autoresearch/config.toml"


def test_a_project_cannot_name_a_command():
    with pytest.raises(InvalidInput, match=r"which a project may not do; it goes into ~/\.config"):
        parse_settings('notify_command = ["sh", "-c", "touch /tmp/owned"]\n')
