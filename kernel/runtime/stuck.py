"""Noticing that an agent goes round in circles.

Guarantees: a function of the run's state alone, at a constant cost a turn. Notices five patterns: the
same call with the same result; the same error (of one call, or of one tool whatever its arguments);
a monologue (replies in a row that neither call nor answer); two calls taking turns; a conversation
that grows with nothing new in it (calls that fail or repeat, or compaction after compaction).
Does not notice an agent that learns something new at every step and comes no nearer to its goal: the
turn limit and the budget end that. Thresholds are in `kernel.limits`. Source: RFC-0005.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from kernel.limits import (
    STUCK_ALTERNATIONS,
    STUCK_COMPACTIONS,
    STUCK_ERROR_STEPS,
    STUCK_MONOLOGUE_TURNS,
    STUCK_RESULT_STEPS,
    STUCK_STALE_STEPS,
)
from kernel.runtime.novelty import Novelty
from kernel.runtime.state import RunState, Step

_LOOKED_AT: Final = max(STUCK_ERROR_STEPS, STUCK_RESULT_STEPS, 2 * STUCK_ALTERNATIONS)

Told: TypeAlias = tuple[str, str, bool, str]


def stuck_pattern(state: RunState) -> str:
    """What repeats since the agent was last told, in words, or an empty string."""
    since = max(state.hinted_at, len(state.steps) - _LOOKED_AT)
    return repetition(state.steps[since:]) or no_news(state.news)


def monologue(state: RunState) -> str:
    """Whether the newest replies were words alone, none of them the end of an answer."""
    if state.replies_only < STUCK_MONOLOGUE_TURNS:
        return ""
    return f"{STUCK_MONOLOGUE_TURNS} replies in a row neither called a tool nor came to an end"


def repetition(steps: Sequence[Step]) -> str:
    """What the newest steps repeat."""
    if not steps:
        return ""
    last = steps[-1]
    told = [_told(step) for step in steps]
    if not last.ok and _all_equal(told, STUCK_ERROR_STEPS):
        return f"`{last.tool}` failed {STUCK_ERROR_STEPS} times in a row with the same arguments and the same error"
    if _all_equal(told, STUCK_RESULT_STEPS):
        return f"`{last.tool}` was called {STUCK_RESULT_STEPS} times in a row with the same arguments and result"
    if not last.ok and _all_equal([(step.tool, step.text) for step in steps], STUCK_RESULT_STEPS):
        return f"`{last.tool}` failed {STUCK_RESULT_STEPS} times in a row with the same error"
    if _alternates(told):
        return f"`{steps[-2].tool}` and `{last.tool}` took turns {STUCK_ALTERNATIONS} times with nothing changing"
    return ""


def no_news(news: Novelty) -> str:
    """Whether the conversation grows with nothing new in it."""
    if news.stale_steps >= STUCK_STALE_STEPS:
        return (
            f"the last {news.stale_steps} calls failed or told what was known: "
            f"the conversation grew by {news.stale_chars} characters with nothing new in it"
        )
    if news.idle_compactions >= STUCK_COMPACTIONS:
        return f"the conversation was cut {news.idle_compactions} times over, and nothing was learned in between"
    return ""


def _told(step: Step) -> Told:
    """What makes two steps the same: of a long result its digest, since its cut text names its call."""
    return (step.tool, step.arguments, step.ok, step.blob or step.text)


def _all_equal(told: Sequence[object], count: int) -> bool:
    return len(told) >= count and len(set(told[-count:])) == 1


def _alternates(told: Sequence[Told]) -> bool:
    tail = told[-2 * STUCK_ALTERNATIONS :]
    return len(tail) == 2 * STUCK_ALTERNATIONS and len(set(tail[::2])) == 1 and len(set(tail[1::2])) == 1
