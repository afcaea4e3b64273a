"""Noticing that an agent goes round in circles.

Guarantees: a pure function of the finished steps. Notices four patterns at the end of them: the same
call with the same result, the same call failing, the same tool failing alike whatever its arguments,
and two calls taking turns. Does not notice slow drift: the turn limit and the budget end that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kernel.runtime.state import Step

SAME_RESULT_STEPS: Final = 4
SAME_ERROR_STEPS: Final = 3
ALTERNATIONS: Final = 3


def stuck_pattern(steps: Sequence[Step]) -> str:
    """What repeats, in words, or an empty string."""
    if not steps:
        return ""
    last = steps[-1]
    if not last.ok and _all_equal(steps, SAME_ERROR_STEPS):
        return f"`{last.tool}` failed {SAME_ERROR_STEPS} times in a row with the same arguments and the same error"
    if _all_equal(steps, SAME_RESULT_STEPS):
        return f"`{last.tool}` was called {SAME_RESULT_STEPS} times in a row with the same arguments and result"
    if _same_failure(steps):
        return f"`{last.tool}` failed {SAME_RESULT_STEPS} times in a row with the same error"
    if _alternates(steps):
        return f"`{steps[-2].tool}` and `{last.tool}` took turns {ALTERNATIONS} times with nothing changing"
    return ""


def _all_equal(steps: Sequence[Step], count: int) -> bool:
    return len(steps) >= count and len(set(steps[-count:])) == 1


def _same_failure(steps: Sequence[Step]) -> bool:
    tail = steps[-SAME_RESULT_STEPS:]
    return (
        len(tail) == SAME_RESULT_STEPS
        and len({(step.tool, step.ok, step.text) for step in tail}) == 1
        and not tail[0].ok
    )


def _alternates(steps: Sequence[Step]) -> bool:
    tail = steps[-2 * ALTERNATIONS :]
    return len(tail) == 2 * ALTERNATIONS and len(set(tail[::2])) == 1 and len(set(tail[1::2])) == 1
