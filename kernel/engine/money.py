"""What tokens cost, in whole micro-dollars.

Guarantees: `cost` is rounded up, so that no request is free by rounding; `cost_at_most` of a prompt
and an answer is never less than `cost` of any usage with at most that many tokens of each, however
much of the prompt was read from or written to a cache.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from kernel.ports.provider import Price, Usage

_MTOK: Final = 1_000_000


def cost(price: Price | None, usage: Usage) -> int:
    """What the reported usage costs; 0 where the price is not known."""
    if price is None:
        return 0
    at = at_size(price, usage.input_tokens)
    cached = min(max(usage.cached_tokens, 0), usage.input_tokens)
    written = min(max(usage.written_tokens, 0), usage.input_tokens - cached)
    fresh = usage.input_tokens - cached - written
    millionths = (
        fresh * at.input_micro_usd
        + cached * at.cached_micro_usd
        + written * _written(at)
        + usage.output_tokens * at.output_micro_usd
    )
    return price.request_micro_usd - (-millionths // _MTOK)


def cost_at_most(price: Price | None, prompt_tokens: int, answer_tokens: int) -> int:
    """The most that a request of this size can cost; 0 where the price is not known."""
    if price is None:
        return 0
    sizes = [price, *(tier for start, tier in price.tiers if start < prompt_tokens)]
    return price.request_micro_usd + max(_dearest(at, prompt_tokens, answer_tokens) for at in sizes)


def answer_for(price: Price, prompt_tokens: int, micro_usd: int, answer_tokens_max: int) -> int:
    """The longest answer that such a prompt and `micro_usd` leave room for; -1 where not even an empty one."""
    sizes = range(answer_tokens_max + 1)
    return bisect_right(sizes, micro_usd, key=lambda answer: cost_at_most(price, prompt_tokens, answer)) - 1


def at_size(price: Price, prompt_tokens: int) -> Price:
    """The price of a prompt of this size: the highest tier that it is above."""
    found = price
    for start, tier in price.tiers:
        if prompt_tokens > start:
            found = tier
    return found


def _dearest(at: Price, prompt_tokens: int, answer_tokens: int) -> int:
    token = max(at.input_micro_usd, at.cached_micro_usd, _written(at))
    millionths = prompt_tokens * token + answer_tokens * at.output_micro_usd
    return -(-millionths // _MTOK)


def _written(at: Price) -> int:
    return at.input_micro_usd if at.written_micro_usd is None else at.written_micro_usd
