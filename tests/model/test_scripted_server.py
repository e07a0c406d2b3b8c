"""The shipped scripted server, driven by the real SDK, streamed and not."""

import json

import anthropic
import pytest

from autoresearch.errors import ModelFailed
from autoresearch.ports import Request
from autoresearch.replies import ReportReply
from autoresearch.testing_http import ScriptedMessagesServer, ScriptedReply, error_reply, prompt_of

ASK = Request(step="writeup", system="S", prompt="P", reply_type=ReportReply)


def test_replies_in_order_and_the_bodies_kept(make_model, replies):
    second = {**replies["writeup"], "title": "Again"}
    with ScriptedMessagesServer([replies["writeup"], second]) as server:
        model = make_model(server.base_url)
        assert model.ask(ASK).reply.title == "A shift shows"
        exchange = model.ask(ASK)
        assert (exchange.reply.title, exchange.model) == ("Again", "scripted")
        assert [prompt_of(body) for body in server.requests] == ["P", "P"]
        with pytest.raises(ModelFailed, match="the script has 2 replies, this is request 3"):
            model.ask(ASK)


def test_a_function_sees_the_request(make_model, replies):
    def script(body):
        return {**replies["writeup"], "abstract": prompt_of(body)}

    with ScriptedMessagesServer(script) as server:
        assert make_model(server.base_url).ask(ASK).reply.abstract == "P"


def test_a_forced_tool_gets_the_reply_as_its_input(make_model, replies):
    with ScriptedMessagesServer(["no JSON", replies["writeup"]]) as server:
        assert make_model(server.base_url).ask(ASK).reply.title == "A shift shows"
        assert "tool_choice" in server.requests[1]


def test_a_reset_connection_is_tried_again(make_model, slept, replies):
    with ScriptedMessagesServer([ScriptedReply(drop=True), replies["writeup"]]) as server:
        exchange = make_model(server.base_url).ask(ASK)
    assert len(slept) == 1
    assert json.loads(exchange.record)["calls"][0]["tries"] == 2


def test_resets_without_end_are_bounded(make_model):
    with (
        ScriptedMessagesServer([ScriptedReply(drop=True)] * 3) as server,
        pytest.raises(ModelFailed, match="after 3 tries: no connection"),
    ):
        make_model(server.base_url).ask(ASK)


def test_errors_and_their_headers(make_model, slept, replies):
    with ScriptedMessagesServer([error_reply(429, "wait", retry_after="9"), replies["writeup"]]) as server:
        make_model(server.base_url).ask(ASK)
    assert slept == [9.0]


def test_no_credential_is_401():
    with ScriptedMessagesServer(["hello"]) as server:
        client = anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=0)
        with client, pytest.raises(anthropic.AuthenticationError):
            client.messages.create(
                model="m",
                max_tokens=9,
                messages=[{"role": "user", "content": "P"}],
                extra_headers={"Authorization": anthropic.omit},
            )
        assert server.requests == []


def test_the_streamed_protocol():
    text = "word " * 300
    with (
        ScriptedMessagesServer([text]) as server,
        anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=0) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "P"}]
        ) as stream,
    ):
        assert "".join(stream.text_stream) == text
        final = stream.get_final_message()
    assert (final.model, final.stop_reason) == ("scripted", "end_turn")
    assert final.usage.output_tokens == len(text) // 4


def test_a_streamed_forced_tool():
    tool = {"name": "reply", "input_schema": {"type": "object"}}
    with (
        ScriptedMessagesServer([{"a": [1, 2]}]) as server,
        anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=0) as client,
        client.messages.stream(
            model="m",
            max_tokens=9,
            messages=[{"role": "user", "content": "P"}],
            tools=[tool],
            tool_choice={"type": "tool", "name": "reply"},
        ) as stream,
    ):
        final = stream.get_final_message()
    assert final.content[0].input == {"a": [1, 2]}
    assert final.stop_reason == "tool_use"
