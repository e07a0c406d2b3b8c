"""Models behind a command: real processes, good and hostile."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from autoresearch.adapters.command_model import CommandLimits, CommandModel, split_command
from autoresearch.budget import SPENDING
from autoresearch.cli.system import SystemClock
from autoresearch.errors import BackEndMissing, BudgetSpent, InvalidInput, ModelFailed, exit_code
from autoresearch.exchanges import RecordedExchange, reparse
from autoresearch.ports import Request
from autoresearch.records import ModelChoice, Settings
from autoresearch.replies import ReportReply

GOOD = '{"title":"T","abstract":"A","discussion":"D","limitations":["L"]}'
ASK = Request(step="writeup", system="You are scripted.", prompt="What now?", reply_type=ReportReply)
SECRET = "canary-0123456789-abcdefghij"


@pytest.fixture
def program(tmp_path):
    """A program of some Python lines; `text` is what came on standard input."""

    def write(code):
        path = tmp_path / "client"
        path.write_text(f"#!{sys.executable} -I\nimport os, sys, time, signal\n{code}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def asked(journal):
    """Ask a command, under a budget."""

    def ask(line, *, seconds=20, options=None, environ=None, limits=None, project=None):
        settings = Settings(budget={"call": {"seconds": seconds}, "project": project or {}})
        model = CommandModel(
            str(line), options=options or ModelChoice(), environ={"PATH": os.environ["PATH"], **(environ or {})},
            clock=SystemClock(), limits=limits,
        )  # fmt: skip
        return model.ask(ASK, journal.purse(settings, "command:x"))

    return ask


def test_the_prompt_goes_in_and_the_reply_comes_out(program, asked, tmp_path):
    seen = tmp_path / "seen"
    client = program(
        f"open({str(seen)!r}, 'w').write(sys.stdin.read() + repr(sys.argv[1:]))\nprint({GOOD!r})"
    )
    exchange = asked(f"{client} -m 'two words' '$HOME;ls'")
    assert exchange.reply.title == "T"
    assert exchange.model == "command:client"
    assert seen.read_text() == "You are scripted.\n\nWhat now?\n['-m', 'two words', '$HOME;ls']"
    assert exchange.spent.cost_usd == "unknown"
    assert exchange.spent.tokens.output == (len(GOOD) + 1 + 3) // 4
    call = RecordedExchange.model_validate_json(exchange.record).calls[0]
    assert call.request["argv"][1:] == ["-m", "two words", "$HOME;ls"]
    assert reparse(exchange.record, ASK) == exchange


def test_a_bad_reply_is_shown_to_it_once(program, asked, tmp_path):
    seen = tmp_path / "seen"
    client = program(
        f"text = sys.stdin.read(); open({str(seen)!r}, 'w').write(text)\n"
        f"print({GOOD!r} if 'not valid' in text else '{{\"name\": 1}}')"
    )
    exchange = asked(client)
    assert len(RecordedExchange.model_validate_json(exchange.record).calls) == 2
    assert '<answer>\n{"name": 1}\n</answer>' in seen.read_text()
    assert "name: Extra inputs are not permitted" in seen.read_text()
    assert exchange.spent.calls == 2


BAD = {
    "nothing": ("pass", "empty"),
    "prose": ("print('I would rather not.')", "malformed"),
    "another form": ("print('{}')", "invalid"),
    "a failure": ("print('{}'); sys.stderr.write('no quota\\x1b[2J'); sys.exit(7)", "dead"),
    "killed by a signal": ("os.kill(os.getpid(), 9)", "dead"),
    "not UTF-8": ("sys.stdout.buffer.write(b'\\xff\\xfe')", "not the protocol"),
    "without end": ("while True: print('x' * 10000)", "oversize"),
    "never": ("time.sleep(60)", "too slow"),
    "never, deaf": ("[signal.signal(s, signal.SIG_IGN) for s in (2, 15, 1)]\ntime.sleep(60)", "too slow"),
    "never, with its output closed": ("os.close(1); os.close(2); time.sleep(60)", "too slow"),
    "a credential": (f"print({GOOD!r}.replace('A', 'AKIA' + 'ABCDEFGHIJKLMNOP'))", "leaking"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_command_is_what_it_is(program, asked, journal, case):
    code, outcome = BAD[case]
    with pytest.raises(ModelFailed, match=r"not(?:hing was)? recorded") as caught:
        asked(program(code), seconds=1, limits=CommandLimits(reply_bytes=50_000))
    assert caught.value.outcome == outcome
    assert "\x1b" not in str(caught.value)
    assert json.loads(journal.notes[SPENDING])["spent"]["calls"] == (
        2 if outcome in ("empty", "malformed", "invalid") else 1
    )


def test_an_exit_code_and_its_words_are_named(program, asked):
    with pytest.raises(ModelFailed, match="exit code 7: no quota"):
        asked(program("sys.stderr.write('no quota'); sys.exit(7)"))


def test_a_prompt_that_nobody_reads_blocks_nothing(program, asked):
    assert asked(program(f"print({GOOD!r})")).reply.title == "T"


def test_its_children_are_killed_with_it(program, asked, tmp_path):
    """Also after it ended well: a child that holds the pipes is not waited for."""
    mark = tmp_path / "child"
    child = f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    client = program(
        f"if os.fork() == 0:\n    {child}\nwhile not os.path.exists({str(mark)!r}): time.sleep(0.01)\nprint({GOOD!r})"
    )
    assert asked(client).reply.title == "T"
    give_up = time.monotonic() + 10
    while _lives(int(mark.read_text())):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def _lives(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def test_it_is_given_no_key_but_the_one_that_is_named(program, asked, tmp_path):
    client = program(
        "told = ' '.join(sorted(os.environ)) + ' in ' + os.getcwd() + ' with ' + str(os.listdir('.'))\n"
        f"print({GOOD!r}.replace('A', told))"
    )
    environ = {
        "HOME": str(tmp_path), "ANTHROPIC_API_KEY": SECRET, "OTHER_KEY": SECRET + "x", "GIT_DIR": "/x", "SSH_AUTH_SOCK": "/y",
    }  # fmt: skip
    told = asked(client, environ=environ, options=ModelChoice(environment=["OTHER_KEY"])).reply.abstract
    names, _, place = told.partition(" in ")
    assert {"HOME", "OTHER_KEY", "PATH", "TERM"} <= set(names.split())
    assert not {"ANTHROPIC_API_KEY", "GIT_DIR", "SSH_AUTH_SOCK"} & set(names.split())
    assert place.endswith(" with []"), "an empty directory of its own"
    assert not Path(place.split(" with ")[0]).exists(), "which is gone afterwards"


def test_a_key_it_tells_is_not_recorded(program, asked):
    client = program(f"print({GOOD!r}.replace('A', os.environ['OTHER_KEY']))")
    with pytest.raises(ModelFailed, match="holds the API key itself") as caught:
        asked(client, environ={"OTHER_KEY": SECRET}, options=ModelChoice(environment=["OTHER_KEY"]))
    assert SECRET not in str(caught.value)


def test_what_is_missing_is_exit_4_before_anything_runs(asked, program, journal):
    client = program(f"print({GOOD!r})")
    for line, options in (("no-such-client-anywhere", None), (client, ModelChoice(environment=["NOT_SET"]))):
        with pytest.raises(BackEndMissing) as caught:
            asked(line, options=options)
        assert exit_code(caught.value) == 4
    assert journal.notes == {}


def test_the_budget_stops_it_before_it_starts(asked, program, tmp_path):
    mark = tmp_path / "ran"
    client = program(f"open({str(mark)!r}, 'w'); print({GOOD!r})")
    with pytest.raises(BudgetSpent, match=r"budget\.project\.calls is 0"):
        asked(client, project={"calls": 0})
    with pytest.raises(InvalidInput, match="the price of command:x is not known"):
        asked(client, project={"usd": "5"})
    assert not mark.exists()


@pytest.mark.parametrize("line", ["", "  ", "'unclosed", "''", "a\0b"])
def test_what_is_no_command_is_refused(line):
    with pytest.raises(InvalidInput, match="model command:"):
        split_command(line)
