"""Following a plan to its end: the one loop around every model request.

Guarantees: what the plan says is done and reported, each attempt once; a wait is a sleep of the
clock; the reply is returned, or the plan's own error raised. An error that is none of ours (a broken
invariant, a cancellation) passes through untouched, and leaving the plan's context frees its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from kernel.clock import Clock
from kernel.engine.failures import Failure
from kernel.engine.plan import Compact, GiveUp, Plan, Try, Wait
from kernel.errors import OxiosError

T = TypeVar("T")


@dataclass(slots=True)
class Shown:
    """Whether something of this attempt's reply was shown: whoever streams sets it."""

    visible: bool = False


async def pursue(
    plan: Plan,
    clock: Clock,
    send: Callable[[Try, Shown], Awaitable[T]],
    *,
    compact: Callable[[Compact], Awaitable[bool]],
    failed: Callable[[Try, Failure], None],
    waiting: Callable[[Wait], None],
) -> T:
    """`send` one attempt: its permit, its reservation, its request; raise what went wrong.

    `compact` shortens the conversation and says whether it could; `failed` and `waiting` are told
    before the next step. Raises: what the plan gave up with, ProviderDown where a run can go on later.
    """
    while True:
        step = plan.next(clock.monotonic_s())
        match step:
            case Try():
                shown = Shown()
                try:
                    reply = await send(step, shown)
                except OxiosError as error:
                    failed(step, plan.failed(step, error, clock.monotonic_s(), visible=shown.visible))
                else:
                    plan.succeeded(step)
                    return reply
            case Wait():
                waiting(step)
                await clock.sleep(step.seconds)
            case Compact():
                if await compact(step):
                    plan.compacted()
                else:
                    plan.not_compacted()
            case GiveUp():
                raise step.error()
