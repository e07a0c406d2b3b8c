"""The adapter: the real SDK against a local server of the protocol, with scripted replies."""

import json
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from werkzeug import Response

from autoresearch.adapters.anthropic_model import key_from
from autoresearch.errors import BackEndMissing, InvalidInput, ModelFailed, exit_code
from autoresearch.exchanges import RecordedExchange, reparse
from autoresearch.ports import Request
from autoresearch.records import Tokens
from autoresearch.replies import (
    ConclusionReply,
    CritiqueReply,
    IdeasReply,
    PlanReply,
    ReportReply,
    prediction_reply,
)

KEY = "sk-test-0123456789-canary"
TYPES = {
    "ideate": IdeasReply,
    "critique": CritiqueReply,
    "plan": PlanReply,
    "predict": prediction_reply(["plain", "treated"]),
    "conclude": ConclusionReply,
    "writeup": ReportReply,
}


def ask_for(step="writeup", prompt="What now?", system="You are scripted."):
    return Request(step=step, system=system, prompt=prompt, reply_type=TYPES[step])


def message(content, stop_reason="end_turn", **changes):
    """A reply as the protocol has it; `content` is a text, or a list of blocks."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 30,
            "output_tokens": 40,
        },
        **changes,
    }


def error_body(kind="api_error", text="the server says no", **details):
    return {"type": "error", "error": {"type": kind, "message": text, "details": details or None}}


@pytest.fixture
def serve(httpserver):
    """Give the replies in order, each (status, body, headers); returns the base URL."""

    def start(*answers):
        left = list(answers)
        httpserver.clear_all_handlers()

        def handle(_request):
            status, body, headers = left.pop(0)
            data = body if isinstance(body, (bytes, str)) else json.dumps(body)
            return Response(
                data, status, {"content-type": "application/json", "request-id": "req_1", **headers}
            )

        httpserver.expect_request("/v1/messages", method="POST").respond_with_handler(handle)
        return httpserver.url_for("")

    return start


def ok(content, **changes):
    return 200, message(content, **changes), {}


def log_of(httpserver):
    """Without the questions how many tokens a request has, which this server does not answer."""
    return [entry for entry in httpserver.log if entry[0].path == "/v1/messages"]


def sent(httpserver):
    return [request.get_json() for request, _ in log_of(httpserver)]


# ------------------------------------------------------------------ it works


@pytest.mark.parametrize("step", TYPES)
def test_every_reply_type_goes_through_the_sdk(httpserver, serve, make_model, replies, step):
    url = serve(ok(json.dumps(replies[step])))
    exchange = make_model(url).ask(ask_for(step))
    assert exchange.reply == TYPES[step].model_validate(replies[step])
    assert (exchange.model, exchange.spent.cost_usd) == ("scripted", "unknown")
    assert exchange.spent.tokens == Tokens(input=120, cached=30, output=40)
    body = sent(httpserver)[0]
    schema = body["output_config"]["format"]
    assert schema["type"] == "json_schema"
    assert set(schema["schema"]["properties"]) == set(TYPES[step].model_fields)
    assert no_free_keys(schema["schema"])


def no_free_keys(schema):
    """Structured output describes no mapping with free keys: such an object would have no properties."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and not (
            schema["properties"] and schema["additionalProperties"] is False
        ):
            return False
        return all(no_free_keys(value) for value in schema.values())
    return all(no_free_keys(value) for value in schema) if isinstance(schema, list) else True


def test_the_request_is_as_the_protocol_wants_it(httpserver, serve, make_model, replies):
    url = serve(ok(json.dumps(replies["writeup"])))
    make_model(url, max_tokens=1234).ask(ask_for())
    body = sent(httpserver)[0]
    assert (body["model"], body["max_tokens"]) == ("test-model", 1234)
    assert body["system"] == [
        {"type": "text", "text": "You are scripted.", "cache_control": {"type": "ephemeral"}}
    ]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "What now?"}]}]
    assert body["stream"] is True
    assert "tools" not in body
    assert log_of(httpserver)[0][0].headers["authorization"] == f"Bearer {KEY}"


def test_the_record_holds_the_exchange_and_no_key(httpserver, serve, make_model, replies):
    url = serve((429, error_body(text=f"slow down, {KEY}"), {}), ok(json.dumps(replies["writeup"])))
    exchange = make_model(url).ask(ask_for())
    record = json.loads(exchange.record)
    call = record["calls"][0]
    assert call["request"] == sent(httpserver)[1]
    assert call["reply"] == message(json.dumps(replies["writeup"]))
    assert (call["tries"], call["request_id"], call["problem"]) == (2, "req_1", "")
    assert "429" in call["failed_tries"][0]
    assert "[key]" in call["failed_tries"][0]
    assert record["parsed"] == replies["writeup"]
    assert (record["step"], record["model"], record["spent"]["cost_usd"]) == (
        "writeup",
        "scripted",
        "unknown",
    )
    assert KEY.encode() not in exchange.record
    assert b"authorization" not in exchange.record.lower()


def test_an_exchange_that_holds_the_key_is_not_recorded(serve, make_model, replies):
    url = serve(ok(json.dumps({**replies["writeup"], "title": f"the key is {KEY}"})))
    with pytest.raises(ModelFailed, match="holds the API key itself") as caught:
        make_model(url).ask(ask_for())
    assert KEY not in str(caught.value)


def test_a_tool_nobody_asked_for_is_not_an_answer(serve, make_model, replies):
    """A block of another tool is ignored; the text beside it counts."""
    other = {"type": "tool_use", "id": "t", "name": "shell", "input": {"command": "ls"}}
    url = serve(ok([other, {"type": "text", "text": json.dumps(replies["writeup"])}]))
    assert make_model(url).ask(ask_for()).reply.title == "A shift shows"


# ----------------------------------------------------------------- credential


def test_no_key_is_exit_4_and_nothing_is_sent(httpserver, make_model):
    model = make_model(httpserver.url_for(""), key=None)
    for call in (model.require_credential, lambda: model.ask(ask_for())):
        with pytest.raises(BackEndMissing, match="ANTHROPIC_API_KEY") as caught:
            call()
        assert exit_code(caught.value) == 4
    assert httpserver.log == []
    make_model("http://127.0.0.1:9").require_credential()


@pytest.mark.parametrize("key", ["two words", "key\nx-evil: 1", "schlüssel"])
def test_a_key_that_cannot_be_one_is_exit_4(make_model, key):
    with pytest.raises(BackEndMissing, match="cannot be one") as caught:
        make_model("http://127.0.0.1:9", key=key).ask(ask_for())
    assert key not in str(caught.value)


def test_a_made_up_key_for_a_local_server_is_no_secret(serve, make_model):
    url = serve(ok(GOOD))
    assert b'"title"' in make_model(url, key="title").ask(ask_for()).record


def test_the_key_comes_from_either_variable():
    assert key_from({"ANTHROPIC_API_KEY": "a", "ANTHROPIC_AUTH_TOKEN": "b"}) == "a"
    assert key_from({"ANTHROPIC_AUTH_TOKEN": "b", "ANTHROPIC_API_KEY": ""}) == "b"
    assert key_from({"ANTHROPIC_API_KEY": " \n", "ANTHROPIC_AUTH_TOKEN": " b\n"}) == "b"
    assert key_from({"PATH": "x"}) is None


# -------------------------------------------------------------------- retries


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_another_try_can_mend_is_tried_again(httpserver, serve, make_model, slept, replies, status):
    url = serve((status, error_body(), {}), (status, error_body(), {}), ok(json.dumps(replies["writeup"])))
    exchange = make_model(url).ask(ask_for())
    assert RecordedExchange.model_validate_json(exchange.record).calls[0].tries == 3
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_it_cannot_mend_is_not(httpserver, serve, make_model, slept, status):
    url = serve((status, error_body(), {}))
    with pytest.raises(ModelFailed, match=f"answered {status}: the server says no\nnothing was recorded"):
        make_model(url).ask(ask_for())
    assert (len(log_of(httpserver)), slept) == (1, [])


def test_a_spend_limit_is_not_waited_for(serve, make_model, slept):
    url = serve((429, error_body(error_code="enforced_spend_limit_reached"), {}))
    with pytest.raises(ModelFailed, match="429"):
        make_model(url).ask(ask_for())
    assert slept == []


def test_tries_are_bounded(httpserver, serve, make_model, slept):
    url = serve(*[(529, error_body("overloaded_error", "Overloaded"), {})] * 4)
    with pytest.raises(ModelFailed, match=r"after 3 tries: .* answered 529: Overloaded"):
        make_model(url).ask(ask_for())
    assert (len(log_of(httpserver)), len(slept)) == (3, 2)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("-5", 1.0),
        ("nan", 1.0),
        ("soon", 1.0),
        (format_datetime(datetime(2026, 1, 1, 0, 0, 32, tzinfo=UTC), usegmt=True), 30.0),
    ],
)
def test_retry_after_is_honoured(serve, make_model, slept, replies, value, wait):
    url = serve((429, error_body(), {"retry-after": value}), ok(json.dumps(replies["writeup"])))
    make_model(url).ask(ask_for())
    assert slept == [wait]


def test_a_long_retry_after_ends_it_at_once(httpserver, serve, make_model, slept):
    url = serve((429, error_body(), {"retry-after": "3600"}))
    with pytest.raises(ModelFailed, match="asks to wait 3600 s"):
        make_model(url).ask(ask_for())
    assert (len(log_of(httpserver)), slept) == (1, [])


def test_no_try_starts_after_the_deadline(httpserver, serve, make_model, slept):
    url = serve(*[(503, error_body(), {})] * 3)
    with pytest.raises(ModelFailed, match="5 s are over"):
        make_model(url, clock_step=3.0, total_seconds=5).ask(ask_for())
    assert (len(log_of(httpserver)), slept) == (1, [])


def test_nobody_listening(make_model, slept):
    with pytest.raises(ModelFailed, match=r"after 3 tries: no connection to http://127\.0\.0\.1:9"):
        make_model("http://127.0.0.1:9").ask(ask_for())
    assert len(slept) == 2


# ------------------------------------------------------- replies gone wrong

GOOD = '{"title":"T","abstract":"A","discussion":"D","limitations":["L"]}'
REFUSAL = {"stop_details": {"type": "refusal", "category": "cyber", "explanation": "no"}}
TOOL = [{"type": "tool_use", "id": "toolu_1", "name": "reply", "input": json.loads(GOOD)}]

BLOCKS = [
    "thinking",
    "redacted_thinking",
    "tool_use",
    "server_tool_use",
    "web_search_tool_result",
    "code_execution_tool_result",
    "container_upload",
    "",
]

TOO_DEEP = "[" * 100_000 + "]" * 100_000

REPAIRABLE = {
    "refused": (ok("", stop_reason="refusal", **REFUSAL), "stopped as a refusal"),
    "refused, with a whole reply": (ok(GOOD, stop_reason="refusal"), "stopped as a refusal"),
    "truncated": (ok(GOOD[:20], stop_reason="max_tokens"), "cut off at the limit"),
    "truncated, though whole": (ok(GOOD, stop_reason="max_tokens"), "cut off at the limit"),
    "paused": (ok(GOOD, stop_reason="pause_turn"), "stopped with 'pause_turn'"),
    "unknown stop reason": (ok(GOOD, stop_reason="tired"), "stopped with 'tired'"),
    "no content": (ok([]), "was empty"),
    "blank text": (ok("  \n"), "was empty"),
    "prose": (ok("Here is my report."), "not the JSON"),
    "fenced twice": (ok(f"```json\n{GOOD}\n```\n```json\n{GOOD}\n```"), "not the JSON"),
    "half": (ok(GOOD[:-5]), "not the JSON"),
    "too deep": (ok(TOO_DEEP), "not the JSON"),
    "wrong fields": (ok('{"name": 1}'), "title: Field required"),
    "an array": (ok("[]"), "Input should be an object"),
    "too long": (ok(GOOD.replace('"T"', '"' + "x" * 501 + '"')), "title: String should have at most 500"),
    "another tool only": (ok([{**TOOL[0], "name": "shell"}], stop_reason="tool_use"), "was empty"),
}


@pytest.mark.parametrize("case", REPAIRABLE)
def test_one_repair_mends_it(httpserver, serve, make_model, case):
    bad, told = REPAIRABLE[case]
    forced = told in ("not the JSON", "was empty")
    url = serve(bad, ok(TOOL, stop_reason="tool_use") if forced else ok(GOOD))
    request = ask_for()
    exchange = make_model(url).ask(request)
    assert exchange.reply == ReportReply.model_validate_json(GOOD)
    assert exchange.spent.tokens == Tokens(input=240, cached=60, output=80)
    first, second = sent(httpserver)
    assert second["messages"][0] == first["messages"][0]
    assert second["messages"][-1]["role"] == "user"
    assert told in second["messages"][-1]["content"]
    assert second["system"] == first["system"]
    assert ("output_config" in second) is not forced
    if forced:
        assert second["tool_choice"] == {"type": "tool", "name": "reply"}
        assert set(second["tools"][0]["input_schema"]["properties"]) == set(ReportReply.model_fields)
    calls = RecordedExchange.model_validate_json(exchange.record).calls
    assert (bool(calls[0].problem), calls[1].problem) == (True, "")
    assert reparse(exchange.record, request) == exchange


@pytest.mark.parametrize("case", REPAIRABLE)
def test_the_second_time_it_is_the_end(httpserver, serve, make_model, case):
    bad, _ = REPAIRABLE[case]
    url = serve(bad, bad, bad)
    with pytest.raises(
        ModelFailed, match="gave no valid reply for step writeup, also after one repair: "
    ) as caught:
        make_model(url).ask(ask_for())
    assert "nothing was recorded" in str(caught.value)
    assert len(log_of(httpserver)) == 2


def test_what_the_model_said_is_shown_to_it(httpserver, serve, make_model):
    url = serve(ok('{"name": 1}'), ok(GOOD))
    make_model(url).ask(ask_for())
    roles = [(m["role"], m["content"]) for m in sent(httpserver)[1]["messages"]]
    assert roles[1] == ("assistant", '{"name": 1}')
    assert "name: Extra inputs are not permitted" in roles[2][1]


def test_a_request_too_long_for_the_model_is_not_repaired(httpserver, serve, make_model):
    url = serve(ok("", stop_reason="model_context_window_exceeded"))
    with pytest.raises(ModelFailed, match="does not fit the model's context"):
        make_model(url).ask(ask_for())
    assert len(log_of(httpserver)) == 1


def test_a_server_that_refuses_a_forced_tool_is_asked_without_it(httpserver, serve, make_model):
    url = serve(ok("prose"), (400, error_body(text="forced tool use is not supported"), {}), ok(GOOD))
    exchange = make_model(url).ask(ask_for())
    _, by_tool, plain = sent(httpserver)
    assert "tools" in by_tool
    assert "tools" not in plain
    assert "one JSON object and nothing else" in plain["messages"][-1]["content"]
    call = RecordedExchange.model_validate_json(exchange.record).calls[1]
    assert "forced tool use is not supported" in call.failed_tries[0]


def test_a_repair_that_is_turned_away_twice_is_the_end(serve, make_model):
    no = (400, error_body(text="tools are not supported"), {})
    with pytest.raises(ModelFailed, match="tools are not supported"):
        make_model(serve(ok("prose"), no, no)).ask(ask_for())


# --------------------------------------------------- not the protocol at all

NOT_REPLIES = {
    "html": ((200, "<html>hello</html>", {"content-type": "text/html"}), "no JSON"),
    "html called json": ((200, "<html>hello</html>", {}), "no JSON"),
    "empty": ((200, "", {}), "no JSON"),
    "array": ((200, [], {}), "valid dictionary"),
    "another type": ((200, message(GOOD, type="error"), {}), "type: Input should be 'message'"),
    "content null": ((200, message(None), {}), "content"),
    "text without text": (ok([{"type": "text"}]), "a text block without text"),
    "text is a number": (ok([{"type": "text", "text": 5}]), "text"),
    "negative usage": (ok(GOOD, usage={"input_tokens": -1}), "usage.input_tokens"),
    "model with a newline": (ok(GOOD, model="x\nRecord: y"), "model"),
    "nan": ((200, json.dumps(message(GOOD, extra=float("nan"))), {}), "no JSON"),
    "infinite": ((200, json.dumps(message(GOOD, extra=1)).replace('"extra": 1', '"extra": 1e999'), {}), "no JSON"),
    "deep": ((200, TOO_DEEP, {}), "no JSON"),
    "lone surrogate": ((200, json.dumps(message("\ud800")), {}), "no JSON"),
    "invalid utf-8": ((200, b'{"type": "\xff"}', {}), "no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_REPLIES)
def test_what_is_no_reply_is_said_and_not_recorded(httpserver, serve, make_model, case):
    answer, says = NOT_REPLIES[case]
    url = serve(answer)
    with pytest.raises(ModelFailed, match="answered with something else than a reply: ") as caught:
        make_model(url).ask(ask_for())
    assert says in str(caught.value)
    assert len(log_of(httpserver)) == 1


def test_unknown_blocks_and_missing_usage_are_borne(serve, make_model):
    """Local servers leave usage out; new block types come with every year."""
    content = [
        {"type": "thinking", "thinking": "…", "signature": "s"},
        {"type": "novel", "x": 1},
        {"type": "text", "text": GOOD},
    ]
    url = serve(ok(content, usage={}, stop_reason=None))
    exchange = make_model(url).ask(ask_for())
    assert exchange.spent.tokens == Tokens()


def test_an_oversize_reply_is_cut_off(httpserver, serve, make_model):
    url = serve(ok(GOOD + " " * 100_000))
    with pytest.raises(ModelFailed, match="larger than 50000 bytes"):
        make_model(url, reply_bytes=50_000).ask(ask_for())
    assert len(log_of(httpserver)) == 1


def test_a_dribbling_server_is_cut_off(httpserver, make_model):
    def drops():
        for _ in range(100):
            time.sleep(0.01)
            yield b" "

    def dribble(_request):
        return Response(drops(), 200, {"content-type": "application/json"})

    httpserver.expect_request("/v1/messages").respond_with_handler(dribble)
    with pytest.raises(ModelFailed, match="not whole in the time"):
        make_model(httpserver.url_for(""), clock_step=1.0, total_seconds=20).ask(ask_for())
    assert len(log_of(httpserver)) == 1


def test_a_stalled_server_times_out(httpserver, make_model):
    over = threading.Event()

    def stall(_request):
        over.wait(5)
        return Response("{}", 200)

    httpserver.expect_request("/v1/messages").respond_with_handler(stall)
    with pytest.raises(ModelFailed, match="no answer from http://localhost"):
        make_model(httpserver.url_for(""), read_seconds=0.2, tries=1).ask(ask_for())
    over.set()


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_without_their_fields_do_not_trip_the_sdk(serve, make_model, kind):
    url = serve(ok([{"type": kind}, {"type": "text", "text": GOOD}]))
    assert make_model(url).ask(ask_for()).reply.title == "T"


# ----------------------------------------------------------------------- replay


@pytest.fixture
def recorded(serve, make_model, replies):
    return make_model(serve(ok(json.dumps(replies["plan"])))).ask(ask_for("plan"))


def test_replay_gives_the_same_exchange(recorded):
    assert reparse(recorded.record, ask_for("plan")) == recorded


@pytest.mark.parametrize(
    ("request_now", "says"),
    [
        (ask_for("plan", prompt="What then?"), "another prompt: line 1 was 'What now?', is 'What then?'"),
        (ask_for("plan", prompt="What now?\n\nmore"), "another prompt: it had 1 lines, now 3"),
        (ask_for("plan", system="You are real."), "another system text"),
        (ask_for("writeup"), "another step"),
    ],
)
def test_replay_refuses_another_question(recorded, request_now, says):
    with pytest.raises(InvalidInput) as caught:
        reparse(recorded.record, request_now)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["parsed"].update(trials_per_arm=9), "states another reply"),
        (lambda r: r["tokens"].update(output=1), "another model or usage"),
        (lambda r: r["calls"][0]["reply"]["content"][0].update(text="{}"), "is not valid"),
        (lambda r: r.update(headers={}), "not a recorded exchange: headers"),
        (lambda r: r.update(prompt_sha256="0" * 64), "another prompt digest"),
    ],
)
def test_replay_refuses_a_changed_record(recorded, change, says):
    record = json.loads(recorded.record)
    change(record)
    with pytest.raises(InvalidInput, match=says):
        reparse(json.dumps(record).encode(), ask_for("plan"))


def test_replay_refuses_what_is_no_record():
    with pytest.raises(InvalidInput, match="not a recorded exchange"):
        reparse(b"hello", ask_for())
