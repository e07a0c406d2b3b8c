"""Replay of a project that another version made: what versions explain is listed, anything else is an error."""

import json

import pytest

from autoresearch import __version__, assets
from autoresearch.cli.replay import derive_again, other_versions
from autoresearch.comparison import TOLERANCE, Difference, but_for_versions, exactly, explained, fields
from autoresearch.errors import AutoresearchError
from autoresearch.layout import FIGURE_DATA
from autoresearch.ports import Request
from autoresearch.recorded import AskedOtherwise, RecordedModel, Tape
from autoresearch.records import Tool
from autoresearch.replies import CritiqueReply


@pytest.fixture
def replayed(opened, capsys):
    """What `replay` prints of the project in a directory, and the error it ends with, if any."""

    def make(root):
        error = None
        try:
            derive_again(opened(root))
        except AutoresearchError as raised:
            error = raised
        return capsys.readouterr().out.splitlines(), error

    return make


def of(kind, act):
    def change(record):
        if record["kind"] == kind:
            act(record["body"])

    return change


def raise_estimate(body):
    body["contrast"]["estimate"] += 0.25


def test_the_versions_are_named_first_and_what_is_equal_passes(finished_elsewhere, replayed):
    (first, *rest, last), error = replayed(finished_elsewhere)
    assert error is None
    assert first.startswith(f"made by version 0.0.1, derived again by version {__version__}; ")
    assert all(line.startswith("✓") for line in rest)
    assert last.endswith("each equal; nothing decided, forecast or measured differs")


def test_other_packages_are_another_version_too():
    here = Tool(version=__version__, lock_sha256=assets.tool_lock_digest())
    assert other_versions(here) == ""
    assert other_versions(here.model_copy(update={"lock_sha256": "0" * 64})).endswith("with other packages")


def test_what_a_rule_or_a_library_explains_is_listed_where_it_arises(
    forge, finished_elsewhere, replayed, git
):
    """A number and its last digits, a rule's finding, and the words of a commit's message."""

    def change(record):
        if record["kind"] == "check":
            raise_estimate(record["body"])
            record["body"]["contrast"]["low"] *= 1 + 1e-9
        if record["kind"] == "monitoring":
            record["body"]["rules"].append("plan.of-old")

    root = forge(change, of=finished_elsewhere).root
    raw = git(root, "cat-file", "commit", "main").replace(b"\n\nreport: ", b"\n\nreport: in short, ", 1)
    new = git(root, "hash-object", "-w", "-t", "commit", "--stdin", data=raw).decode().strip()
    git(root, "update-ref", "refs/heads/main", new)
    lines, error = replayed(root)
    assert error is None
    assert not [line for line in lines if line.startswith("✗")]
    changed = [line.split()[2] for line in lines if line.startswith("~")]
    assert set(changed) >= {"check", "monitoring", "report"}
    assert not set(changed) & {"approval", "result", "acceptance"}, "they were made from what was recorded"
    shown = "\n".join(lines)
    assert "    body.contrast.estimate\n        recorded  " in shown
    assert "contrast.low" not in shown
    assert "body.rules[" in shown
    assert "    message of the commit\n        recorded  report: in short, " in shown
    assert "otherwise: rule or library changed; nothing decided" in lines[-1]


def test_the_very_commits_are_made_again_also_between_versions(forge, finished_elsewhere, again, opened):
    root = forge(of("check", raise_estimate), of=finished_elsewhere).root
    number, made, scratch = again(root, other_versions=True)
    assert number == len(made) == len(opened(root).entries())
    assert scratch.head() == opened(root).head()


def test_a_change_of_the_same_version_is_an_error(forge, replayed):
    lines, error = replayed(forge(of("check", raise_estimate)).root)
    assert "check in" in str(error)
    assert [line[:11] for line in lines if not line.startswith(("✓", " "))] == ["✗ 1.2 check"]
    assert "    body.contrast.estimate" in lines


def no_forecast(body):
    body["forecasts"][0]["reasoning"] = "I always knew."


def another_screen(body):
    body["bundle"]["rechecks"]["fresh_seeds"] += 1


def another_subject(body):
    body["subject"]["gate"] = "another"


def fewer_trials(body):
    body["trials_completed"] -= 1


def other_words(body):
    body["objections"][0]["answer"] = "None is needed."


@pytest.mark.parametrize(
    ("kind", "act", "path"),
    [
        ("prediction", no_forecast, "body.forecasts[0].reasoning"),
        ("approval", another_screen, "body.bundle.rechecks.fresh_seeds"),
        ("acceptance", another_subject, "body.subject.gate"),
        ("result", fewer_trials, "body.trials_completed"),
        ("critique", other_words, "body.objections[0].answer"),
    ],
)
def test_no_version_explains_another_decision_forecast_result_or_reply(
    forge, finished_elsewhere, replayed, kind, act, path
):
    lines, error = replayed(forge(of(kind, act), of=finished_elsewhere).root)
    assert error is not None
    assert error.exit_code == 1
    assert f"    {path}" in lines


def test_a_decision_that_leads_elsewhere_is_an_error(forge, finished_elsewhere, replayed):
    def act(body):
        body |= {"decision": "revise", "reason": "never said", "claims": {}}

    _, error = replayed(forge(of("acceptance", act), of=finished_elsewhere).root)
    assert error is not None


def test_what_a_model_wrote_is_explained_by_nothing_and_what_a_rule_added_is(finished, opened):
    by_kind = {entry.record.kind: entry.record for entry in opened(finished).entries()}
    words, finding = (
        Difference(path, "a", "b") for path in ("body.objections[0].answer", "body.findings[0].explanation")
    )
    assert not explained(by_kind["critique"], words)
    assert explained(by_kind["critique"], finding)
    assert explained(by_kind["check"], Difference("body.contrast.low", "1", "2"))
    for path in ("kind", "inputs.plan", "made_by.exchanges[0].sha256", "exchange", "exchanges/critique.json"):
        assert not explained(by_kind["critique"], Difference(path, "a", "b")), path


def test_an_exchange_about_another_prompt_is_an_error(finished, opened):
    ledger = opened(finished)
    tape = Tape(ledger)
    tape.position = next(at for at, entry in enumerate(ledger.entries()) if entry.record.made_by.exchanges)
    request = Request(step="critique", system="another", prompt="another", reply_type=CritiqueReply)
    with pytest.raises(AskedOtherwise, match="asked another"):
        RecordedModel(tape).ask(request, None)


# ------------------------------------------------------------ field by field


@pytest.mark.parametrize(
    ("recorded", "derived", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": 1}, {}, ["a"]),
        ({}, {"a": None}, ["a"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, ["a.b[1]", "a.b[2]"]),
        ({"a": [1]}, {"a": {"0": 1}}, ["a"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": 1.0}, {"a": 1.0 + 1e-9}, []),
        ({"a": 1.0}, {"a": 1.0 + 1e-5}, ["a"]),
        ({"a": 0.0}, {"a": 1e-9}, ["a"]),
        ({"a": -1.0}, {"a": 1.0}, ["a"]),
        ({"a": "1.0"}, {"a": "1.000000000001"}, ["a"]),
    ],
)
def test_every_field_that_differs_is_named(recorded, derived, paths):
    assert [found.path for found in fields(recorded, derived, tolerance=TOLERANCE)] == paths


def test_without_a_tolerance_the_last_bit_counts():
    assert list(fields(1.0, 1.0 + 1e-15)) == [Difference("", "1.0", repr(1.0 + 1e-15))]


def test_long_texts_are_shown_from_where_they_part():
    (found,) = fields("x" * 500 + "old" + "y" * 500, "x" * 500 + "new" + "y" * 500)
    assert "xold" in found.recorded
    assert "xnew" in found.derived
    assert max(len(found.recorded), len(found.derived)) < 100


def test_the_data_of_a_figure_count_and_its_drawing_does_not(finished, opened):
    ledger = opened(finished)
    entry = ledger.entries()[-1]
    assert entry.record.kind == "report"
    files = {ref.path: ledger.read(f"cycles/01/{ref.path}", entry.commit) for ref in entry.record.body.pages}
    drawn_anew = files | {"figures/result.svg": b"<svg/>", "figures/result.png": b"\x89"}
    assert not list(but_for_versions(entry.record, entry.record, files, drawn_anew))
    assert list(exactly(entry.record, entry.record, files, drawn_anew))
    data = json.loads(files[FIGURE_DATA])
    data["arms"][0]["values"][0] += 0.5
    other_data = files | {FIGURE_DATA: json.dumps(data).encode()}
    (found,) = but_for_versions(entry.record, entry.record, files, other_data)
    assert found.path == "figures/result.json arms[0].values[0]"
