"""What goes out and how it comes in: cache marks, options, headers, streams, progress."""

import json

import pytest

from autoresearch.adapters.anthropic_model import PROVIDER_URL, enforced_at_once
from autoresearch.credentials import credential_among, credential_in, redacted
from autoresearch.errors import BackEndMissing, ModelFailed
from autoresearch.message_stream import BrokenOff, NotAReply, assemble
from autoresearch.ports import Collected
from autoresearch.prompts import data_block, stable_and_rest
from autoresearch.records import HostFacts, ModelChoice
from autoresearch.steps.workers import without_credentials
from autoresearch.testing_http import (
    ScriptedMessagesServer,
    ScriptedReply,
    error_reply,
    prompt_of,
    stream_events,
)

GOOD = '{"title":"T","abstract":"A","discussion":"D","limitations":["L"]}'
LONG = json.dumps({**json.loads(GOOD), "discussion": "word " * 2000})
CACHED = {"type": "ephemeral"}


def prompt(*records, rest="# Your step\n\nSay more.\n"):
    blocks = "".join(f"\n{data_block(name, text, 1000)}\n" for name, text in records)
    return f"# The proposal\n\n{data_block('proposal', 'P', 1000)}\n\n# Earlier records\n{blocks}\n{rest}"


# -------------------------------------------------------------------- the prefix


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain words", 1),
        (prompt(), 2),
        (prompt(("ideas", "{}"), ("critique", "{}")), 4),
        (prompt(("ideas", "</data>\n# no\n<data name='x'>")), 3),
        (prompt(("ideas", "{}"), rest=f"Mind this:\n\n{data_block('reason', 'why', 99)}\n"), 3),
        (f"Words first.\n{data_block('proposal', 'P', 99)}\n", 1),
    ],
)
def test_the_leading_blocks_are_told_from_the_rest(text, pieces):
    found = stable_and_rest(text)
    assert "".join(found) == text
    assert len([piece for piece in found if piece]) == pieces


def test_what_steps_share_is_marked_for_the_cache(make_model, journal):
    request = type(journal.request)(
        step="writeup", system="S", prompt=prompt(("ideas", "{}"), ("plan", "{}")), reply_type=journal.request.reply_type,
    )  # fmt: skip
    with ScriptedMessagesServer([json.loads(GOOD)]) as server:
        make_model(server.base_url).ask(request)
    body = server.requests[0]
    assert body["system"][0]["cache_control"] == CACHED
    marks = [block.get("cache_control") for block in body["messages"][0]["content"]]
    assert marks == [CACHED, None, CACHED, None]
    assert prompt_of(body) == request.prompt
    assert json.dumps(body).count('"cache_control"') <= 4, "as many as the protocol allows"


# ----------------------------------------------------------------------- options


def body_with(make_model, journal, *script, **options):
    with ScriptedMessagesServer([*script, json.loads(GOOD)]) as server:
        make_model(server.base_url, options=ModelChoice(**options)).ask(journal.request)
    return server.requests[-1]


def test_effort_and_thinking_go_out_as_they_are_set(make_model, journal):
    body = body_with(make_model, journal, effort="high", thinking="adaptive")
    assert body["output_config"]["effort"] == "high"
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert body["thinking"] == {"type": "adaptive"}
    plain = body_with(make_model, journal)
    assert "thinking" not in plain
    assert "effort" not in plain["output_config"]
    assert not {"temperature", "top_p", "top_k"} & set(plain)


def test_a_forced_tool_goes_without_thinking(make_model, journal):
    body = body_with(make_model, journal, "prose", thinking="adaptive", effort="low")
    assert body["tool_choice"]["name"] == "reply"
    assert "thinking" not in body
    assert body["output_config"] == {"effort": "low"}


@pytest.mark.parametrize("key", [None, "sk-the-providers-own-0123456789"])
def test_a_gateways_headers_come_from_the_environment(make_model, journal, httpserver, key):
    """And the provider's key does not go along with them."""
    httpserver.expect_request("/v1/messages").respond_with_data(
        json.dumps({"type": "message", "model": "m", "content": [{"type": "text", "text": GOOD}]}),
        content_type="application/json",
    )
    options = ModelChoice(
        base_url=httpserver.url_for(""), headers={"x-api-key": "$GATE_KEY", "anthropic-version": "2023-06-01"}
    )
    secret = "gate-0123456789-canary"
    model = make_model("http://127.0.0.1:9", key=key, options=options, environ={"GATE_KEY": secret})
    exchange = model.ask(journal.request)
    headers = next(request.headers for request, _ in httpserver.log if request.path == "/v1/messages")
    assert headers["x-api-key"] == secret
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers
    assert secret.encode() not in exchange.record


def test_a_header_that_is_not_set_is_exit_4(make_model, journal):
    model = make_model("http://127.0.0.1:9", options=ModelChoice(headers={"x-api-key": "$GATE_KEY"}))
    with pytest.raises(BackEndMissing, match="GATE_KEY, which is not set"):
        model.ask(journal.request)


def test_a_redirect_takes_the_key_nowhere(make_model, journal):
    with ScriptedMessagesServer([json.loads(GOOD)]) as elsewhere:
        moved = error_reply(307, "over there", location=f"{elsewhere.base_url}/v1/messages")
        with ScriptedMessagesServer([moved]) as server:
            with pytest.raises(ModelFailed) as caught:
                make_model(server.base_url).ask(journal.request)
            assert len(server.requests) == 1
        assert caught.value.outcome == "turned away"
        assert elsewhere.requests == []


# ------------------------------------------------------------------------ streams


def test_progress_is_counted_while_it_streams_and_shows_no_text(make_model, journal):
    seen = []
    with ScriptedMessagesServer([json.loads(LONG)]) as server:
        model = make_model(server.base_url, on_progress=lambda tokens, seconds: seen.append(tokens))
        assert model.ask(journal.request).reply.discussion.startswith("word")
    assert seen == sorted(seen)
    assert len(seen) > 10
    assert seen[-1] == len(LONG) // 4


def test_streamed_and_whole_are_recorded_alike(make_model, journal, httpserver):
    with ScriptedMessagesServer([json.loads(GOOD)]) as server:
        streamed = json.loads(make_model(server.base_url).ask(journal.request).record)["calls"][0]["reply"]
    httpserver.expect_request("/v1/messages").respond_with_json(streamed)
    whole = json.loads(make_model(httpserver.url_for("")).ask(journal.request).record)["calls"][0]["reply"]
    assert whole == streamed


class Event:
    def __init__(self, event, data):
        self.event, self.data = event, data if isinstance(data, str) else json.dumps(data)


def assembled(events):
    stream = assemble(events)
    try:
        while True:
            next(stream)
    except StopIteration as stop:
        return stop.value


def test_every_kind_of_block_is_put_together_again():
    message = {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
        "content": [{"type": "text", "text": "x" * 999}, {"type": "tool_use", "id": "t", "name": "reply", "input": {"a": [1, {"b": None}]}}],
    }  # fmt: skip
    events = [Event(name, data) for name, data in stream_events(message)]
    thinking = [
        Event("content_block_start", {"index": 9, "content_block": {"type": "thinking", "thinking": ""}}),
        Event("content_block_delta", {"index": 9, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        Event("content_block_delta", {"index": 9, "delta": {"type": "signature_delta", "signature": "s"}}),
        Event("content_block_delta", {"index": 9, "delta": {"type": "novel_delta", "novel": 1}}),
    ]
    made = assembled([*events[:1], *thinking, *events[1:]])
    assert made.pop("content") == [
        *message["content"],
        {"type": "thinking", "thinking": "hm", "signature": "s"},
    ]
    assert made == {
        key: value for key, value in message.items() if key != "content" and value is not None
    } | {"stop_sequence": None}


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([], BrokenOff),
        ([Event("message_stop", {})], NotAReply),
        ([Event("message_start", {"message": {"usage": 5}}), Event("message_delta", {"delta": {}, "usage": {}})], NotAReply),
        ([Event("content_block_start", {"index": True, "content_block": {}})], NotAReply),
        ([Event("content_block_start", {"index": 10**9, "content_block": {}})], NotAReply),
        ([Event("message_start", '{"message": {"x": 1e999}}')], NotAReply),
    ],
)  # fmt: skip
def test_a_stream_that_breaks_the_protocol(events, error):
    with pytest.raises(error):
        assembled(events)


# -------------------------------------------------------------------- credentials

SHAPES = {
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "an Anthropic key": "sk-ant-" + "api03-" + "a1B2" * 8,
    "an OpenAI key": "sk-proj-" + "a1B2" * 8,
    "an API key": "sk-" + "a1B2" * 12,
    "an AWS access key": "AKIA" + "ABCDEFGH12345678",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "a1B2" * 5,
    "a Hugging Face token": "hf_" + "aBcD" * 9,
    "a Slack token": "xoxb-" + "1234567890-" * 3,
    "a Google API key": "AIza" + "a1B2c" * 7,
    "a signed web token": "eyJ" + "a1B2" * 5 + ".eyJ" + "a1B2" * 5 + "." + "a1B2" * 8,
}


@pytest.mark.parametrize("what", SHAPES)
def test_the_shape_of_a_credential_is_seen(what):
    assert credential_in(f'{{"note": "use {SHAPES[what]} here"}}'.encode()) == what


@pytest.mark.parametrize(
    "text",
    ["sk-test-0123456789", "skating", "AKIA", "task-" + "a1B2" * 12, "a" * 5000, "0" * 64, "ghp_short", "eyJ", "-----BEGIN CERTIFICATE-----"],
)  # fmt: skip
def test_what_only_begins_like_one_is_not(text):
    assert credential_in(text.encode()) is None


def test_an_error_in_a_body_that_is_no_stream_is_said(make_model, journal):
    with (
        ScriptedMessagesServer([ScriptedReply(body=b'{"type": "error"}')]) as server,
        pytest.raises(ModelFailed) as caught,
    ):
        make_model(server.base_url).ask(journal.request)
    assert caught.value.outcome == "not the protocol"


def test_one_across_two_pieces_is_seen_and_a_log_is_redacted():
    key = SHAPES["an AWS access key"].encode()
    assert credential_among([b"x" * 5000 + b" " + key[:7], key[7:] + b" y"]) == "an AWS access key"
    assert credential_among([b"x" * 5000, b"y"]) is None
    assert redacted(b"use " + key + b" here") == b"use [an AWS access key] here"


def test_an_experiments_output_with_a_credential_is_left_out_and_named():
    key = SHAPES["a GitHub token"].encode()
    files = {"artifacts/a.txt": b"token " + key, "artifacts/b.txt": b"fine"}
    facts = HostFacts(**dict.fromkeys(HostFacts.model_fields, None))
    kept = without_credentials(
        Collected(facts, files, b"printed " + key, log_truncated=False, refused=("earlier",))
    )
    assert set(kept.files) == {"artifacts/b.txt"}
    assert kept.log == b"printed [a GitHub token]"
    assert kept.refused == ("earlier", "artifacts/a.txt: it holds what looks like a GitHub token")


# ---------------------------------------------------------------------- the schema


@pytest.mark.parametrize(
    ("option", "sent"), [("always", [True, True]), ("in-repair", [False, True]), ("", [True, True])]
)
def test_when_the_schema_goes_out_as_a_constraint(make_model, journal, option, sent):
    """Steps differ in it, and the provider counts it into the prefix that it caches."""
    with ScriptedMessagesServer(['{"title": 1}', json.loads(GOOD)]) as server:
        make_model(server.base_url, options=ModelChoice(enforce_schema=option)).ask(journal.request)
    assert ["format" in body.get("output_config", {}) for body in server.requests] == sent


def test_at_the_providers_own_server_only_a_repair_enforces_the_schema():
    assert not enforced_at_once(ModelChoice())
    assert not enforced_at_once(ModelChoice(base_url=PROVIDER_URL))
    assert enforced_at_once(ModelChoice(enforce_schema="always"))
    assert enforced_at_once(ModelChoice(base_url="http://127.0.0.1:9"))
