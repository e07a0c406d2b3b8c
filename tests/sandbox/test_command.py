"""An experiment that is a program: what it is given, and what is taken from it."""

import json
import subprocess
import sys

import pytest

from autoresearch import assets
from autoresearch.analysis.strict_json import finite_numbers, loads

HARNESS = assets.sandbox() / "harness.py"


@pytest.fixture
def harness(tmp_path):
    """Runs a command over arms; gives the process, the lines by index, and the output directory."""

    def run(command, arms=("a",), files=None, config=None):
        (tmp_path / "in" / "experiment").mkdir(parents=True)
        for name, text in (files or {}).items():
            (tmp_path / "in" / "experiment" / name).write_text(text)
        trials = [{"index": n, "arm": arm, "seed": 10 + n} for n, arm in enumerate(arms)]
        job = {"trials": trials, "config": config or {}, "parallel": 2, "command": command}
        (tmp_path / "in" / "job.json").write_text(json.dumps(job))
        (tmp_path / "out").mkdir()
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-B", HARNESS, tmp_path / "in", tmp_path / "out"],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = map(json.loads, (tmp_path / "out" / "trials.jsonl").read_text().splitlines())
        return done, {line["index"]: line for line in lines}, tmp_path / "out"

    return run


def leaves(text):
    """A shell command that writes `text` as its metrics."""
    return ["sh", "-c", 'printf %s "$0" > metrics.json', text]


def test_a_shell_script_gives_numbers_and_arrays(harness):
    script = 'n=$(cat | grep -o \'"n": 7\' | tr -dc 0-9)\necho "{\\"arm_$1\\": $2, \\"n\\": $n, \\"many\\": [$(seq -s, 1 20)]}" > metrics.json\n'
    command = ["sh", "{experiment}/run.sh", "{arm}", "{seed}"]
    done, lines, out = harness(command, ["a", "b"], {"run.sh": script}, {"n": 7})
    assert done.returncode == 0, done.stderr
    assert lines[0]["values"] == {"arm_a": 10, "n": 7}
    assert lines[1]["values"] == {"arm_b": 11, "n": 7}
    assert json.loads((out / lines[1]["arrays"]).read_text()) == {"many": list(range(1, 21))}
    assert [line["status"] for line in lines.values()] == ["ok", "ok"]
    assert list((out / "artifacts").iterdir()) == [], "the values stand once"


def test_each_trial_has_a_directory_of_its_own_and_keeps_its_files(harness):
    command = [
        "sh",
        "-c",
        'test -z "$(ls)" && echo $1 > note.txt && echo "{\\"x\\": 1}" > metrics.json',
        "-",
        "{arm}",
    ]
    done, _, out = harness(command, ["a", "b"])
    assert done.returncode == 0, done.stderr
    notes = {path.parent.name: path.read_text() for path in (out / "artifacts").rglob("note.txt")}
    assert notes == {"trial-0": "a\n", "trial-1": "b\n"}


def test_only_the_named_placeholders_are_filled_in(harness):
    command = ["sh", "-c", 'echo "{\\"x\\": {seed}}" > metrics.json; test "$0" = "{print} {}"', "{print} {}"]
    done, lines, _ = harness(command)
    assert done.returncode == 0, done.stderr
    assert lines[0]["values"] == {"x": 10}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["sh", "-c", "exit 3"], "sh ended with exit code 3"),
        (["sh", "-c", "kill -9 $$"], "sh was killed by signal 9"),
        (["no-such-program"], "no-such-program could not be started: No such file"),
        (["true"], "left no metrics.json"),
        (["sh", "-c", "mkdir metrics.json"], "left no metrics.json"),
        (["sh", "-c", 'echo "{\\"x\\": 1}" > metrics.json; exit 1'], "exit code 1"),
    ],
)
def test_a_program_that_fails_costs_its_trial_only(harness, command, reason):
    guarded = [
        "sh",
        "-c",
        'if [ "$1" = good ]; then echo "{\\"x\\": 1}" > metrics.json; else shift; exec "$@"; fi',
        "-",
    ]
    done, lines, _ = harness([*guarded, "{arm}", *command], ["bad", "good"])
    assert done.returncode == 10
    assert (lines[0]["status"], lines[1]["status"]) == ("error", "ok")
    reason = reason.replace("no-such-program could not be started: No such file", "exit code 127")
    assert reason.split(" ", 1)[-1] in lines[0]["error"], lines[0]["error"]


def test_a_program_that_is_not_there_says_so(harness):
    _, lines, _ = harness(["no-such-program"])
    assert lines[0]["error"] == "no-such-program could not be started: No such file or directory"


HOSTILE = [
    '{"x": NaN}', '{"x": Infinity}', '{"x": 1e999}', '{"x": 1, "x": 2}', '{"x": true}', '{"x": [1, false]}',
    '{"x": "1"}', '{"x": null}', '{"x": {"y": 1}}', "[1]", "1", "", '{"x": 1} 2', '{"x": 01}', "{'x': 1}",
    '{"a b": 1}', '{"": 1}', '{"x": [[[[[[[[[1]]]]]]]]]}', '{"x": 9007199254740993}', '{"x": 1', "[" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_metrics_that_are_no_strict_numbers_fail_the_trial(harness, text):
    done, lines, _ = harness(leaves(text))
    assert done.returncode == 10, text
    assert lines[0]["status"] == "error"
    assert "metrics.json" in lines[0]["error"]
    assert "Traceback" not in lines[0]["error"]


FINE = ['{"x": 1}', '{"x": -0.0, "y": [1e-300, 2E5]}', ' {"x":[[1,2],[3,4]]}\n', '{"x": 0.1}', "{}"]


@pytest.mark.parametrize("text", [*FINE, *HOSTILE])
def test_the_harness_takes_nothing_that_the_supervisor_would_not(harness, text):
    """The two readers cannot share code: what one passes, the other must pass too."""
    done, lines, _ = harness(leaves(text))
    if done.returncode != 0:
        return
    read = loads(text.encode(), max_bytes=1000, max_depth=16)
    assert lines[0]["values"] == read
    for name, value in read.items():
        assert finite_numbers(value if isinstance(value, list) else [value], name)
