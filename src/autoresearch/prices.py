"""What a call costs: tokens times a price, exactly, or `unknown`."""

import re
import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files

from autoresearch.records import ModelChoice, Price, Usage, add_costs

_DATED = re.compile(r"-20\d{6}$")
"""A snapshot of a model costs what the model does."""
_PER = Decimal(1_000_000)


def price_of(choice: ModelChoice) -> Price | None:
    """The settings' own, else the one that ships.

    A price that ships is the provider's own: it says nothing of another server.
    """
    if choice.price is not None:
        return choice.price
    provider, _, model = choice.use.partition(":")
    if provider != "anthropic" or choice.base_url:
        return None
    return _shipped().get(_DATED.sub("", model))


@cache
def _shipped() -> dict[str, Price]:
    data = tomllib.loads(files("autoresearch").joinpath("prices.toml").read_text(encoding="utf-8"))
    return {name: Price.model_validate(price) for name, price in data["models"].items()}


def cost_of(usage: Usage, price: Price | None) -> str:
    if price is None:
        return "unknown"
    parts = (
        (usage.input_tokens, price.input),
        (usage.cache_creation_input_tokens or 0, price.written),
        (usage.cache_read_input_tokens or 0, price.cached),
        (usage.output_tokens, price.output),
    )
    return add_costs(*(f"{Decimal(tokens) * Decimal(usd) / _PER:f}" for tokens, usd in parts))
