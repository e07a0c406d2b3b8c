"""The budget: reserved before a call, never forgotten, and counted once."""

import json

import pytest

from autoresearch.budget import SPENDING, pending, spent_in
from autoresearch.errors import BudgetSpent, InvalidInput, LedgerError, ModelFailed, exit_code
from autoresearch.prices import cost_of, price_of
from autoresearch.records import MadeBy, ModelChoice, Price, Settings, Spend, Tokens, Usage, file_ref
from autoresearch.testing import entry_of
from autoresearch.testing_http import ScriptedMessagesServer, ScriptedReply, error_reply

USE = "anthropic:test-model"
PRICE = Price(input="3", cached="0.3", written="3.75", output="15")
PRICED = ModelChoice(use=USE, price=PRICE)


def settings(scope="project", call=None, **caps):
    budget = {"project": {}, "cycle": {}, "call": {"output_tokens": 100, "seconds": 60} | (call or {})}
    return Settings(budget=budget | {scope: caps}, model=PRICED)


def by_a_model(entry, **spent):
    """`entry` as a model's record would be, with what it took."""
    made_by = MadeBy(author="agent", model="m", exchanges=[file_ref("exchanges/x.json", b"{}")], **spent)
    return entry_of(entry.record.model_copy(update={"made_by": made_by, "parent": entry.digest}))


# ---------------------------------------------------------------------- money


def test_a_cost_is_exact():
    usage = Usage(
        input_tokens=7, cache_creation_input_tokens=11, cache_read_input_tokens=13, output_tokens=17
    )
    assert cost_of(usage, PRICE) == "0.00032115"
    assert cost_of(Usage(input_tokens=10**6), PRICE) == "3"
    assert cost_of(Usage(), PRICE) == "0"
    assert cost_of(usage, None) == "unknown"


def test_a_shipped_price_is_the_providers_own():
    assert price_of(ModelChoice(use="anthropic:claude-opus-5-5")).output == "20"
    assert price_of(ModelChoice(use="anthropic:claude-opus-4-5-20251101")).input == "5"
    assert price_of(ModelChoice(use="anthropic:claude-opus-9")) is None
    assert price_of(ModelChoice(use="command:claude-opus-5-5")) is None
    elsewhere = ModelChoice(use="anthropic:claude-opus-5-5", base_url="http://127.0.0.1:1")
    assert price_of(elsewhere) is None
    assert price_of(PRICED) == PRICE


def test_costs_add_up_and_an_unknown_one_stays_so():
    one = Spend(tokens=Tokens(input=1, cached=2, output=3), cost_usd="0.10", calls=1, seconds=2)
    assert one + one == Spend(tokens=Tokens(input=2, cached=4, output=6), cost_usd="0.2", calls=2, seconds=4)
    assert (one + Spend(cost_usd="unknown")).cost_usd == "unknown"


@pytest.mark.parametrize("scope", ["project", "cycle"])
def test_a_cap_in_usd_needs_a_price(journal, scope):
    with pytest.raises(
        InvalidInput, match=r"the price of anthropic:other is not known(.|\n)*\[model\.price\]"
    ):
        journal.purse(settings(scope, usd="5"), "anthropic:other").reserve(10)
    assert journal.notes == {}
    journal.purse(settings(scope), "anthropic:other").reserve(10)


# ----------------------------------------------------------------- the bounds


@pytest.mark.parametrize("scope", ["project", "cycle"])
@pytest.mark.parametrize(
    ("caps", "says"),
    [
        (
            {"usd": "0.001"},
            r"usd is 0\.001, of which 0 is spent, and the next call of step writeup may take 0\.001875",
        ),
        ({"tokens": 199}, "tokens is 199, of which 0 is spent, and .* may take 200"),
        ({"calls": 0}, "calls is 0"),
        ({"seconds": 0}, "seconds is 0"),
    ],
)
def test_at_each_bound_it_stops_naming_the_setting(journal, scope, caps, says):
    with pytest.raises(BudgetSpent, match=rf"budget\.{scope}\.{says}") as caught:
        journal.purse(settings(scope, **caps)).reserve(100)
    assert f"under [budget.{scope}] in autoresearch.toml" in str(caught.value)
    assert exit_code(caught.value) == 1
    assert journal.notes == {}, "nothing is reserved for a call that is not made"


@pytest.mark.parametrize("caps", [{"usd": "0.001875"}, {"tokens": 200}, {"calls": 1}, {"seconds": 60}])
def test_up_to_the_bound_it_goes_on(journal, caps):
    assert journal.purse(settings(**caps)).reserve(100) == 60.0


def test_a_call_may_take_what_is_left_of_the_time(journal):
    assert journal.purse(settings(seconds=7)).reserve(1) == 7.0


def test_a_reservation_outlives_its_process(journal):
    """Killed between reservation and reply: the server may have billed it."""
    journal.purse(settings()).reserve(100)
    with pytest.raises(BudgetSpent, match="of which 200 is spent"):
        journal.purse(settings(tokens=399)).reserve(100)
    with pytest.raises(BudgetSpent, match="of which 1 is spent"):
        journal.purse(settings(calls=1)).reserve(100)


def test_what_a_call_took_replaces_its_reservation(journal):
    purse = journal.purse(settings())
    purse.reserve(100)
    purse.settle(Usage(input_tokens=90, output_tokens=5), 1.2)
    assert purse.spent == Spend(tokens=Tokens(input=90, output=5), cost_usd="0.000345", calls=1, seconds=2)
    purse.reserve(100)
    purse.settle(None, 0.0)
    assert purse.spent.calls == 2
    assert purse.spent.tokens == Tokens(input=90, output=5), "turned away: nothing was billed"
    purse.reserve(100)
    purse.keep(3.0)
    assert purse.spent.tokens == Tokens(input=190, output=105), "broken off: it may have been"


def test_records_and_journal_count_together_and_never_twice(journal):
    project = journal.project
    purse = journal.purse(settings())
    purse.reserve(100)
    purse.settle(Usage(input_tokens=90, output_tokens=5), 1)
    recorded = by_a_model(project, **{name: getattr(purse.spent, name) for name in Spend.model_fields})
    history = [project, recorded]
    # a crash between the commit and the removal of the note
    assert pending([project], journal.notes.get).spent == purse.spent
    assert pending(history, journal.notes.get) is None
    assert spent_in(history) == purse.spent
    with pytest.raises(BudgetSpent, match="of which 95 is spent"):
        journal.purse(settings(tokens=100), history=history).reserve(1)


def test_a_cycle_has_its_own_bound(journal):
    first = by_a_model(journal.project, tokens=Tokens(input=500), calls=3)
    second = entry_of(first.record.model_copy(update={"cycle": 2, "parent": first.digest}))
    history = [journal.project, first, second]
    journal.purse(settings("cycle", tokens=700), history=[journal.project, second]).reserve(100)
    journal.notes.clear()
    with pytest.raises(BudgetSpent, match=r"budget\.cycle\.tokens is 599, of which 500"):
        journal.purse(settings("cycle", tokens=599), history=history).reserve(100)
    with pytest.raises(BudgetSpent, match=r"budget\.project\.tokens is 1000, of which 1000"):
        journal.purse(settings(tokens=1000), history=history).reserve(100)


def test_a_broken_note_is_no_licence_to_spend(journal):
    journal.notes[SPENDING] = b'{"spent": '
    with pytest.raises(LedgerError, match="cannot be read"):
        journal.purse(settings())


def test_money_of_an_unknown_price_does_not_hide_what_is_known(journal):
    known = by_a_model(journal.project, cost_usd="2", calls=1)
    unknown = by_a_model(known, cost_usd="unknown", calls=1)
    with pytest.raises(BudgetSpent, match="of which 2 is spent"):
        journal.purse(settings(usd="2"), history=[journal.project, known, unknown]).reserve(1)


# ---------------------------------------------------------------- on the wire


def test_every_try_is_reserved_and_a_bound_stops_between_two(make_model, journal, replies):
    script = [error_reply(500, "no"), error_reply(500, "no"), replies["writeup"]]
    with ScriptedMessagesServer(script) as server:
        with pytest.raises(BudgetSpent, match=r"budget\.project\.calls is 2"):
            make_model(server.base_url, budget={"project": {"calls": 2}}).ask(journal.request)
        assert len(server.requests) == 2
        assert json.loads(journal.notes[SPENDING])["spent"]["calls"] == 2


def test_what_failed_before_goes_into_the_next_exchange(make_model, journal, replies):
    with ScriptedMessagesServer(["{}", "{}", replies["writeup"]]) as server:
        model = make_model(server.base_url)
        with pytest.raises(ModelFailed):
            model.ask(journal.request)
        exchange = model.ask(journal.request)
    own = json.loads(exchange.record)["tokens"]
    assert exchange.spent.calls == 3
    assert exchange.spent.tokens.input > own["input"]


@pytest.mark.parametrize("counts", [True, False])
def test_the_request_is_counted_by_the_server_or_estimated(make_model, journal, replies, counts):
    with ScriptedMessagesServer([ScriptedReply(drop=True)], counts=counts) as server:
        with pytest.raises(ModelFailed):
            make_model(server.base_url, tries=1).ask(journal.request)
        asked = len(json.dumps(server.requests[0]))
    reserved = json.loads(journal.notes[SPENDING])["spent"]["tokens"]
    assert reserved["output"] == 16_000
    if counts:
        assert reserved["input"] == server.counted[0]
    else:
        assert asked / 4 < reserved["input"] < asked
