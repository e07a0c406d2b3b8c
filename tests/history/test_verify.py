"""Attacks on a finished project: `verify` names each, and finds nothing in the clean twin."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autoresearch.errors import LedgerError
from autoresearch.layout import commit_message
from autoresearch.records import parse_record
from autoresearch.verdict import blind_spots
from autoresearch.verify import SIGNED, verify

WHOLE = "the repository is whole and shows its own history"
LINE = "one line of commits, no merge"
OWN = "every commit is a record, or a person's notes"
MESSAGES = "every message is the one its record yields"
FILES = "every file is vouched for, byte for byte"
CHAIN = "records follow one another, none twice, none missing"
INPUTS = "every record is made from records before it"
PROPOSALS = "every later proposal changes the text alone"
APPROVALS = "every approval was given for what it binds"
RUNS = "every run follows an approval at once, with issued seeds"
RESULTS = "every result ran as approved, after its prediction"
FORECASTS = "every forecast was scored"
ACCEPTANCES = "every acceptance binds what stands before it"
FORKS = "every fork follows what it shares, under a new id"
EXCHANGES = "every record by a model has its exchange"
BLIND_SPOTS = blind_spots(signed=False, anchored=False)
REPORTS = "every report comes after a decision and leaves nothing out"


def broken(history):
    """Name of each row that fails → its problems."""
    return {row.name: row.problems for row in verify(history).rows if not row.ok}


# ----------------------------------------------------------------- clean twins


def test_the_finished_project_is_sound(finished, opened):
    found = verify(opened(finished))
    assert found.sound, list(found.lines())
    assert {row.name for row in found.rows} == {
        WHOLE, LINE, OWN, MESSAGES, FILES, CHAIN, INPUTS, PROPOSALS, APPROVALS, RUNS, RESULTS, FORECASTS,
        ACCEPTANCES, REPORTS, EXCHANGES, SIGNED, FORKS,
    }  # fmt: skip
    assert {row.name for row in found.rows if not row.looked_at} == {SIGNED, FORKS}, "no key, no fork"
    (proposals,) = (row for row in found.rows if row.name == PROPOSALS)
    made = sum(entry.record.kind == "proposal" for entry in opened(finished).entries())
    assert proposals.looked_at == made - 1 > 0, "the first is no later one"
    assert any(line.startswith("– where keys are registered, every decision") for line in found.lines())
    assert list(found.lines())[-1] == BLIND_SPOTS
    assert found.head == opened(finished).head()


def test_rewritten_as_it_was_it_is_the_same_history(rewrite, finished, opened):
    ledger = rewrite(lambda snaps: snaps)
    assert ledger.head() == opened(finished).head()
    assert verify(ledger).sound


def test_forged_without_a_change_it_is_the_same_history(forge, finished, opened):
    ledger = forge(lambda record: None)
    assert ledger.head() == opened(finished).head()
    assert verify(ledger).sound


def test_in_memory_it_is_sound_too(memory, snaps):
    assert verify(memory(snaps)).sound


def test_a_project_without_a_decision_is_sound(rewrite, place):
    assert verify(rewrite(lambda snaps: snaps[: place("preflight")[0]])).sound


# ------------------------------------------------------- bytes, messages, files


def edited(data):
    """A record's bytes with one number of it changed, rendered as this tool renders."""
    return data.replace(b'"n": 6', b'"n": 7', 1)


def from_here(snaps, number, path, data, mode="100644"):
    """A file changed in one commit, and so in all that follow."""
    return [snap.put(path, data, mode) if at >= number else snap for at, snap in enumerate(snaps)]


def gone(snaps, number, path):
    """A file taken away in one commit, and so in all that follow."""
    assert path in snaps[number].files
    return [
        replace(snap, files={p: f for p, f in snap.files.items() if p != path}) if at >= number else snap
        for at, snap in enumerate(snaps)
    ]


def test_changed_record_bytes_under_the_old_message(rewrite, place):
    number, path = place("check")
    ledger = rewrite(lambda s: from_here(s, number, path, edited(s[number].files[path][1])))
    found = broken(ledger)
    assert "check in" in found[MESSAGES][0]
    assert "the message names check@sha256:" in found[MESSAGES][0]
    assert CHAIN in found, "the next record names the old one as its parent"


def test_record_bytes_that_are_no_rendering(rewrite, place):
    number, path = place("plan")
    ledger = rewrite(lambda s: from_here(s, number, path, s[number].files[path][1].replace(b"  ", b" ")))
    assert "not the record's own rendering" in broken(ledger)[OWN][0]


def test_a_changed_message(rewrite, place):
    number, _ = place("conclusion")

    def change(snaps):
        snaps[number] = replace(snaps[number], message=snaps[number].message.replace(b"claim", b"proof", 1))
        return snaps

    assert broken(rewrite(change))[MESSAGES][0].endswith("the message is not the one its record yields")


def test_a_changed_trailer(rewrite, place):
    number, _ = place("critique")

    def change(snaps):
        snaps[number] = replace(
            snaps[number], message=snaps[number].message.replace(b"Model: scripted", b"Model: rules")
        )
        return snaps

    assert MESSAGES in broken(rewrite(change))


def test_a_changed_file_beside_the_record(rewrite, place):
    number, path = place("result")
    trials = path.replace("result.json", "trials.jsonl")
    ledger = rewrite(
        lambda s: from_here(s, number, trials, s[number].files[trials][1].replace(b"0.", b"1.", 1))
    )
    problems = broken(ledger)
    assert APPROVALS not in problems
    assert f"{trials} is not the file the record vouches for" in problems[FILES][0]


def test_changed_code(rewrite, place):
    number, path = place("plan")
    code = path.replace("plan.json", "experiment/experiment.py")
    ledger = rewrite(lambda s: from_here(s, number, code, b"import os\n"))
    assert any(f"{code} is not the file" in problem for problem in broken(ledger)[FILES])


def test_a_file_of_an_old_record_changed_later(rewrite, place):
    _, path = place("plan")
    code = path.replace("plan.json", "experiment/experiment.py")
    number = place("run")[0]
    ledger = rewrite(lambda s: from_here(s, number, code, b"import os\n"))
    assert f"{code} is not vouched for" in broken(ledger)[FILES][0]


def test_an_extra_file(rewrite, place):
    number, _ = place("result")
    ledger = rewrite(lambda s: from_here(s, number, "cycles/01/extra.txt", b"x"))
    assert "cycles/01/extra.txt is not vouched for" in broken(ledger)[FILES][0]


def test_a_file_taken_away(rewrite, place):
    number, _ = place("check")
    path = place("prediction")[1]

    ledger = rewrite(lambda s: gone(s, number, path))
    assert any(f"{path} was deleted" in problem for problem in broken(ledger)[FILES])


@pytest.mark.parametrize("mode", ["120000", "100755"])
def test_another_mode(rewrite, place, mode):
    number, path = place("plan")
    code = path.replace("plan.json", "experiment/experiment.py")
    ledger = rewrite(lambda s: from_here(s, number, code, s[number].files[code][1], mode))
    assert f"{code} has mode {mode}" in broken(ledger)[FILES][0]


def test_a_missing_exchange(rewrite, place):
    number, path = place("critique")
    exchange = path.replace("critique.json", "exchanges/critique.json")

    ledger = rewrite(lambda s: gone(s, number, exchange))
    assert f"{exchange} is missing" in broken(ledger)[FILES][0]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"model = [", b'model = "anthropic:other"\n', b"modle = 1\n"])
def test_other_settings_than_the_record_says(rewrite, place, data):
    number, _ = place("config")
    ledger = rewrite(lambda s: from_here(s, number, "autoresearch.toml", data))
    assert "autoresearch.toml is not what the record says" in broken(ledger)[FILES][0]


def test_another_prompt(rewrite):
    ledger = rewrite(lambda s: from_here(s, 0, "workflow/prompts/plan.md", b"Be kind to the hypothesis."))
    assert "workflow/prompts/plan.md is not what the record says" in broken(ledger)[FILES][0]


# ---------------------------------------------------------- the line of commits


def without(snaps, number):
    """The commit gone, its files turning up in the next one."""
    return snaps[:number] + snaps[number + 1 :]


@pytest.mark.parametrize("kind", ["critique", "approval", "run", "monitoring"])
def test_a_commit_removed_from_the_middle(rewrite, place, kind):
    found = broken(rewrite(lambda s: without(s, place(kind)[0])))
    assert "says it follows" in found[CHAIN][0]
    assert INPUTS in found or kind == "monitoring"


def test_two_commits_swapped(rewrite, place):
    first = place("conclusion")[0]

    def change(snaps):
        one, two = snaps[first], snaps[first + 1]
        added = {path: new for path, new in two.files.items() if path not in one.files}
        early = replace(two, files={**snaps[first - 1].files, **added})
        return [*snaps[:first], early, replace(one, files=two.files), *snaps[first + 2 :]]

    found = broken(rewrite(change))
    assert CHAIN in found
    assert any("made from conclusion" in problem for problem in found[INPUTS])


def foreign(snaps, number, path="readme.txt", author=b"Mallory <m@example.org> 1767225600 +0000"):
    files = {**snaps[number].files, path: ("100644", b"hello")}
    inserted = replace(snaps[number], files=files, message=b"fix typo\n", author=author)
    return [*snaps[: number + 1], inserted, *(snap.put(path, b"hello") for snap in snaps[number + 1 :])]


def test_a_foreign_commit(rewrite, place):
    found = broken(rewrite(lambda s: foreign(s, place("plan")[0])))
    assert found[OWN][0].endswith("by Mallory is no record and changes readme.txt")


def test_a_persons_own_notes_are_no_foreign_commit(rewrite):
    ledger = rewrite(lambda s: foreign(s, len(s) - 1, path="notes/more.txt"))
    assert verify(ledger).sound


def test_an_empty_commit_is_foreign(rewrite):
    ledger = rewrite(lambda s: [*s, replace(s[-1], message=b"nothing\n")])
    assert OWN in broken(ledger)


def test_a_commit_that_claims_a_record_and_adds_none(rewrite):
    ledger = rewrite(lambda s: [*s, replace(s[-1].put("notes/x", b"x"))])
    assert "claims a record and adds none" in broken(ledger)[OWN][0]


@pytest.mark.parametrize(
    "author",
    [
        b"\xe9\x9b\x1b[2J <m@example.org> 1767225600 +0000",
        b"M <" + b"m" * 400 + b"> 1767225600 +0000",
        b"M" * 900 + b" <m@example.org> 1767225600 +0000",
        b" <> 1767225600 +0000",
        b"M <m@example.org> 99999999999999 +0000",
    ],
)
def test_a_foreign_commit_with_a_strange_author_is_a_row_and_no_crash(rewrite, place, author):
    ledger = rewrite(lambda s: foreign(s, place("plan")[0], author=author))
    found = verify(ledger)
    assert not found.sound
    text = "\n".join(found.lines())
    assert "is no record and changes readme.txt" in text
    assert "\x1b" not in text
    text.encode()


def test_a_merge(rewrite, place):
    assert "has parents" in broken(rewrite(lambda s: s, merge_at=place("check")[0]))[LINE][0]


# ------------------------------------------------------- what git can be told


def test_a_replace_ref(copy, opened, git):
    head = git(copy, "rev-parse", "main").decode().strip()
    git(copy, "replace", head, f"{head}~1")
    assert "a replace ref stands" in broken(opened(copy))[WHOLE][0]


def test_a_graft(copy, opened, git):
    (copy / ".git" / "info").mkdir(exist_ok=True)
    head = git(copy, "rev-parse", "main").decode().strip()
    (copy / ".git" / "info" / "grafts").write_text(f"{head}\n")
    assert any("info/grafts" in problem for problem in broken(opened(copy))[WHOLE])


def test_another_branch_checked_out(copy, opened, git):
    git(copy, "symbolic-ref", "HEAD", "refs/heads/other")
    assert "HEAD is not on refs/heads/main" in broken(opened(copy))[WHOLE][0]


def test_an_object_that_is_gone(copy, opened, git, place):
    oid = git(copy, "rev-parse", f"main:{place('check')[1]}").decode().strip()
    (copy / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    assert any("git fsck" in problem for problem in broken(opened(copy))[WHOLE])


def test_one_flipped_byte_in_an_object(copy, opened, git, place):
    oid = git(copy, "rev-parse", f"main:{place('result')[1]}").decode().strip()
    path = copy / ".git" / "objects" / oid[:2] / oid[2:]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    assert WHOLE in broken(opened(copy))


# ----------------------------- forged: every digest, message and link consistent


def on(kind, act, attempt=None):
    """A change of the body of the records of `kind`."""

    def change(record):
        if record["kind"] == kind and attempt in (None, record["attempt"]):
            act(record["body"])

    return change


def test_an_approval_of_other_bytes_than_ran(forge):
    def act(body):
        body["bundle"]["files"]["experiment/experiment.py"] = "0" * 64

    assert broken(forge(on("approval", act, 2)))[APPROVALS][0].endswith(
        "the files or limits approved are not the plan's"
    )


def test_an_approval_of_other_limits_than_the_plans(forge):
    def act(body):
        body["bundle"]["limits"]["seconds"] = 9

    assert APPROVALS in broken(forge(on("approval", act, 2)))


def test_an_approval_from_another_project(forge):
    def act(body):
        body["bundle"]["project"] = "0" * 32

    assert broken(forge(on("approval", act)))[APPROVALS][0].endswith("it was given in another project")


def test_other_seeds_than_the_issued_ones(forge):
    def act(body):
        body["trials"][0]["seed"] = (body["trials"][0]["seed"] + 1) % 2**32

    assert "do not follow from the approval" in broken(forge(on("run", act)))[RUNS][0]


def test_another_nonce(forge):
    def act(body):
        body["nonce"] = "0" * 64

    assert RUNS in broken(forge(on("approval", act, 2)))


def test_a_rejection_turned_into_an_approval_without_a_new_digest(rewrite, snaps, place):
    path = "cycles/01/attempt-1/approval.json"
    number = next(at for at, snap in enumerate(snaps) if path in snap.files)
    data = snaps[number].files[path][1].replace(b'"decision": "reject"', b'"decision": "approve"')
    assert MESSAGES in broken(rewrite(lambda s: from_here(s, number, path, data)))


def test_a_run_behind_a_rejection(forge):
    def act(body):
        body |= {"decision": "reject", "reason": "no", "nonce": None}

    assert broken(forge(on("approval", act, 2)))[RUNS][0].endswith("no approval stands right before it")


def test_another_image_than_approved(forge):
    def act(body):
        body["isolation"]["image"] = "sha256:" + "1" * 64

    assert "another image or isolation" in broken(forge(on("result", act)))[RESULTS][0]


def moved(entries, kind, before):
    """The order of the records with the last of `kind` moved before the last of `before`."""
    kinds = [entry.record.kind for entry in entries]
    order = list(range(len(kinds)))
    last = len(kinds) - 1
    source, target = (last - kinds[::-1].index(name) for name in (kind, before))
    order.insert(target, order.pop(source))
    return order


def test_a_result_moved_before_its_approval(forge, finished, opened):
    order = moved(opened(finished).entries(), "result", "approval")
    found = broken(forge(lambda record: None, order))
    assert "no approved run stands before it" in found[RESULTS][0]
    assert "which is not before it" in found[INPUTS][0]


def test_a_prediction_moved_behind_the_result(forge, finished, opened):
    entries = opened(finished).entries()
    order = moved(entries, "prediction", "check")
    # `moved` takes it out from before the check, so it now stands right behind the result
    found = broken(forge(lambda record: None, order))
    assert "is older than its prediction" in found[RESULTS][0]


def test_a_forecast_left_unscored(forge):
    def act(body):
        body["scores"] = [score for score in body["scores"] if score["forecast"] != "P1"]

    assert "forecast P1 of human:Ada Reviewer is not scored" in broken(forge(on("check", act)))[FORECASTS][0]


def test_a_report_that_leaves_a_record_out(forge):
    def act(body):
        body["covers"].pop(3)

    assert "leaves out" in broken(forge(on("report", act)))[REPORTS][0]


def test_a_report_behind_a_decision_that_ends_nothing(forge):
    def act(body):
        body |= {"decision": "revise", "reason": "word it again", "claims": {}}

    assert "no decision that ends a cycle" in broken(forge(on("acceptance", act)))[REPORTS][0]


def test_an_acceptance_of_another_conclusion(forge):
    def act(body):
        body["subject"]["conclusion"] = "0" * 64

    assert "given for another conclusion" in broken(forge(on("acceptance", act)))[ACCEPTANCES][0]


def test_a_step_made_twice(forge):
    """The critique of the second attempt, recorded as the first attempt's again."""

    def change(record):
        if record["kind"] == "critique":
            record["attempt"] = 1

    assert "its step is already on record" in broken(forge(change))[CHAIN][0]


def test_an_approval_given_for_another_attempt(forge):
    def act(body):
        body["bundle"]["attempt"] = 1

    assert (
        "given at gate approve of cycle 1, attempt 1" in broken(forge(on("approval", act, 2)))[APPROVALS][0]
    )


def test_an_approval_of_a_prediction_that_is_none(forge):
    def act(body):
        body["bundle"]["prediction"] = body["bundle"]["plan"]

    found = broken(forge(on("approval", act, 2)))
    assert found[APPROVALS][0].endswith("it was given for another prediction")
    assert "is older than its prediction" in found[RESULTS][0]


def test_an_acceptance_given_for_another_gate(forge):
    def act(body):
        body["subject"]["gate"] = "approve"

    assert "given at gate approve of" in broken(forge(on("acceptance", act)))[ACCEPTANCES][0]


def test_a_second_result_of_one_run(forge, finished, opened):
    """The one that was liked better, behind the one that came first."""
    entries = opened(finished).entries()
    at = [entry.record.kind for entry in entries].index("result")
    order = [*range(at + 1), at, *range(at + 1, len(entries))]
    assert "its run has a result already" in broken(forge(lambda record: None, order))[RESULTS][0]


def test_forecasts_scored_that_nobody_approved_with(forge):
    def change(record):
        if record["kind"] == "check":
            record["inputs"]["prediction"] = record["inputs"]["plan"]

    assert "scores other forecasts than those" in broken(forge(change))[FORECASTS][0]


def test_a_report_that_covers_what_is_not_there(forge):
    def act(body):
        body["covers"].append("0" * 64)

    assert broken(forge(on("report", act)))[REPORTS][0].endswith(
        "covers 000000000000, which is not before it"
    )


def test_an_attempt_out_of_turn(forge):
    def change(record):
        if record["kind"] == "report":
            record["attempt"] = 7

    assert "cycle 1, attempt 7 comes after cycle 1, attempt 2" in broken(forge(change))[CHAIN][0]


def test_a_models_record_without_its_exchange(forge):
    def change(record):
        if record["kind"] == "critique":
            record["made_by"]["exchanges"] = []

    assert "no exchange shows that" in broken(forge(change))[EXCHANGES][0]


def test_an_exchange_that_is_gone(rewrite, place):
    number, _ = place("critique")
    ledger = rewrite(lambda s: gone(s, number, "cycles/01/attempt-2/exchanges/critique.json"))
    assert any(problem.endswith("exchanges/critique.json is missing") for problem in broken(ledger)[FILES])


# --------------------------------------- made by another version: nothing but words may differ


def amended(root, git, old, new):
    """The last commit of the branch with other words in its message."""
    raw = git(root, "cat-file", "commit", "main")
    assert old in raw
    commit = git(root, "hash-object", "-w", "-t", "commit", "--stdin", data=raw.replace(old, new, 1))
    git(root, "update-ref", "refs/heads/main", commit.decode().strip())


def test_messages_in_another_versions_words_are_noted(forge, finished_elsewhere, opened, git):
    root = forge(lambda record: None, of=finished_elsewhere).root
    assert verify(opened(root)).notes == ()
    amended(root, git, b"\n\nreport: ", b"\n\nreport: in short, ")
    found = verify(opened(root))
    assert found.sound, list(found.lines())
    assert found.notes[0].startswith("1 message in the words of another version")
    assert f"  {found.notes[0]}" in list(found.lines())


def test_the_same_words_are_no_excuse_in_this_version(copy, opened, git):
    amended(copy, git, b"\n\nreport: ", b"\n\nreport: in short, ")
    assert MESSAGES in broken(opened(copy))


@pytest.mark.parametrize("old", [b"\nModel: ", b"\nRecord: report@sha256:", b"\nCost-USD: "])
def test_what_a_message_names_is_compared_whatever_the_version(forge, finished_elsewhere, opened, git, old):
    root = forge(lambda record: None, of=finished_elsewhere).root
    amended(root, git, old, old + b"0")
    assert MESSAGES in broken(opened(root)) or OWN in broken(opened(root))


def test_any_other_change_is_found_whatever_the_version(forge, finished_elsewhere):
    def act(body):
        body["nonce"] = "0" * 64

    assert RUNS in broken(forge(on("approval", act, 2), of=finished_elsewhere))


# ------------------------------------------------------------------- the table


def test_the_table_says_what_was_looked_at_and_what_there_was_nothing_of(rewrite, place):
    found = verify(rewrite(lambda snaps: snaps[: place("preflight")[0]]))
    lines = list(found.lines())
    rows = {row.name: row for row in found.rows}
    assert any(line.startswith(f"– {RUNS}") and line.endswith(" 0 runs") for line in lines)
    assert any(line.startswith(f"✓ {WHOLE}") and line.endswith(" 1 repository") for line in lines)
    assert rows[FILES].looked_at > rows[CHAIN].looked_at == found.records > 3
    assert f", {found.records} records: sound" in lines[-3]


# ------------------------------------------------------- a forged demonstration


def test_a_script_that_decides_in_a_project_that_is_no_demonstration(forge):
    def act(body):
        body["reviewer"]["is_person"] = False

    found = broken(forge(on("approval", act, 2)))
    assert found[APPROVALS][0].endswith(
        "a script gave the approval, and this project is not marked as a demonstration"
    )


def test_a_project_called_a_demonstration_afterwards(forge):
    def act(body):
        body["demonstration"] = True

    found = broken(forge(on("proposal", act)))
    assert found[APPROVALS][0].endswith(
        "a person gave the approval, and this project is marked as a demonstration"
    )
    assert ACCEPTANCES in found


def test_a_later_proposal_that_turns_the_project_into_a_demonstration(forge):
    def act(body):
        body["demonstration"] = True

    assert broken(forge(on("proposal", act, 2)))[PROPOSALS][0].endswith("changes demonstration")


def test_a_later_proposal_that_changes_the_settings(forge):
    def act(body):
        body["settings"]["max_cycles"] = 50

    assert broken(forge(on("proposal", act, 2)))[PROPOSALS][0].endswith("changes the settings in force")


# -------------------------------------------------------------------- garbage


def paths_in(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths_in(item, (*path, key))


def put(value, path, new):
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0" * 64, "approve"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(number=st.integers(0, 99), where=st.integers(0, 999), new=JSON, message_too=st.booleans())
def test_a_garbled_record_is_a_row_and_no_crash(memory, snaps, number, where, new, message_too):
    number %= len(snaps)
    before = snaps[number - 1].files if number else {}
    path = next(
        (p for p in snaps[number].files if p.endswith(".json") and p.count("/") == 3 and p not in before),
        None,
    )
    if path is None:
        return  # the person's notes
    old = snaps[number].files[path][1]
    value = json.loads(old)
    places = list(paths_in(value))
    changed = put(value, places[where % len(places)], new)
    data = (json.dumps(changed, indent=2, ensure_ascii=False) + "\n").encode()
    garbled = from_here(list(snaps), number, path, data)
    if message_too:
        garbled = with_its_message(garbled, number, path)
    found = verify(memory(garbled))
    last = number == len(snaps) - 1 and message_too  # nothing behind it names its digest
    assert not found.sound or data == old or last
    "\n".join(found.lines()).encode()
    json.dumps(found.as_json())


def with_its_message(snaps, number, path):
    """If the garbled bytes are a record after all, under the message that it yields."""
    try:
        record = parse_record(snaps[number].files[path][1], path)
    except LedgerError:
        return snaps
    message = commit_message(record, None).encode("utf-8", "replace")
    return [replace(snap, message=message) if at == number else snap for at, snap in enumerate(snaps)]


@settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(garbage=st.binary(max_size=60), number=st.integers(0, 30), cut=st.booleans())
@example(garbage=b"[" * 20000, number=3, cut=False)
@example(garbage=b"", number=3, cut=False)
def test_bytes_that_are_no_json_are_a_row_and_no_crash(memory, snaps, garbage, number, cut):
    number %= len(snaps)
    path = next((p for p in sorted(snaps[number].files) if p.endswith(".json")), None)
    if path is None:
        return
    old = snaps[number].files[path][1]
    new = old[: len(old) // 2] + garbage if cut else garbage
    found = verify(memory(from_here(list(snaps), number, path, new)))
    assert not found.sound


# ----------------------------------------------------------------- the command


def run_verify(root, *args):
    code = "import sys; from autoresearch.cli.main import main; sys.argv = ['autoresearch', *sys.argv[1:]]; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "verify", *args], cwd=root, capture_output=True, text=True, check=False
    )


def test_the_command_says_sound_and_what_it_cannot_see(copy):
    done = run_verify(copy)
    assert (done.returncode, done.stderr) == (0, "")
    *_, head, signing, blind = done.stdout.splitlines()
    assert head.endswith(": sound")
    assert signing.startswith("unsigned: ")
    assert blind == BLIND_SPOTS


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_ends_with_1_and_names_what_it_found(rewrite, place, copy, options):
    rewrite(lambda s: foreign(s, place("plan")[0]))
    done = run_verify(copy, *options)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr == "autoresearch: the history does not verify\n"
    assert "by Mallory is no record and changes readme.txt" in done.stdout
    if options:
        assert json.loads(done.stdout)["sound"] is False
