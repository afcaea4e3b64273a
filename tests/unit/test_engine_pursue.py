"""A plan followed to its end with providers that fail as scripted: what is asked, when, and what comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import anyio
import pytest

from kernel.engine.failures import Failure
from kernel.engine.plan import Compact, Try, Wait
from kernel.engine.pursue import Shown, pursue
from kernel.errors import BudgetExhausted, Invalid, OxiosError, ProviderDown
from kernel.ports.provider import (
    ContextOverflow,
    Message,
    ModelEvent,
    ModelRequest,
    RateLimited,
    Reply,
    TextDelta,
)
from kernel.testing.clock import FakeClock
from kernel.testing.provider import ScriptedProvider, ScriptMismatch, Turn, say
from tests.unit.engine_world import Desk

REQUEST = ModelRequest("m", [Message("user", "hi there")])
BUSY = Turn(error=RateLimited("busy"))
DOWN = Turn(error=ProviderDown("down", status=500))


class Breaking(ScriptedProvider):
    """Breaks off within its reply."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.requests.append(request)
        yield TextDelta("half")
        raise ProviderDown("broke off")


class Played:
    """One request over these providers; what was told, slept, and came of it."""

    def __init__(self, providers: Mapping[str, ScriptedProvider], models: tuple[str, ...], desk: Desk) -> None:
        self.clock = FakeClock()
        self.told: list[str] = []
        self.shown: list[str] = []
        self.providers = providers
        self.result: Reply | OxiosError
        anyio.run(self._main, models, desk)

    async def _main(self, models: tuple[str, ...], desk: Desk) -> None:
        try:
            self.result = await pursue(
                desk.plan(*models),
                self.clock,
                self._send,
                compact=self._compact,
                failed=self._failed,
                waiting=self._waiting,
            )
        except OxiosError as error:
            self.result = error

    async def _send(self, step: Try, shown: Shown) -> Reply:
        reply: Reply | None = None
        async for event in self.providers[step.provider].stream(REQUEST):
            if isinstance(event, Reply):
                reply = event
            else:
                shown.visible = True
                self.shown.append(getattr(event, "text", ""))
        assert reply is not None
        return reply

    async def _compact(self, step: Compact) -> bool:
        self.told.append(f"compact {step.model}")
        return len(self.told) < 3

    def _failed(self, step: Try, failure: Failure) -> None:
        self.told.append(f"{step.model} {failure.kind}")

    def _waiting(self, step: Wait) -> None:
        self.told.append(f"wait {step.seconds:g}")


def play(*turns: Turn, models: tuple[str, ...] = ("b/m",), **more: ScriptedProvider) -> Played:
    return Played({"b": ScriptedProvider(turns), **more}, models, Desk())


def test_a_busy_provider_is_asked_again_after_doubling_waits() -> None:
    """Two failures are waited out, 0.5 s and 1 s on average, and the third attempt's reply is given."""
    done = play(BUSY, DOWN, say("ok"))
    assert isinstance(done.result, Reply)
    assert (done.result.text, done.clock.slept) == ("ok", [0.5, 1.0])
    assert done.told == ["b/m rate_limit", "wait 0.5", "b/m server", "wait 1"]


def test_attempts_are_bounded() -> None:
    """After the third the error goes to the caller; the fourth turn is never asked for."""
    done = play(*[DOWN] * 4)
    assert isinstance(done.result, ProviderDown)
    assert (len(done.clock.slept), done.providers["b"].left) == (2, 1)


def test_the_next_model_answers_where_the_first_is_down() -> None:
    """The reply is the fallback's, and nothing of the first was shown."""
    other = ScriptedProvider([say("from c")])
    done = play(*[DOWN] * 3, models=("b/m", "c/m"), c=other)
    assert isinstance(done.result, Reply)
    assert (done.result.text, done.shown) == ("from c", ["from c"])


def test_nothing_is_repeated_after_the_first_event() -> None:
    """Text that was shown is never shown again, though a fallback is there."""
    broken = Breaking([])
    done = play(models=("b/m", "c/m"), b=broken, c=ScriptedProvider([say("again")]))
    assert isinstance(done.result, ProviderDown)
    assert (len(broken.requests), done.shown, done.clock.slept) == (1, ["half"], [])


def test_overflow_is_answered_by_compaction() -> None:
    """The conversation is shortened once and asked again; where that fails, the provider's word stands."""
    over = Turn(error=ContextOverflow("too long"))
    assert isinstance(play(over, say("ok")).result, Reply)
    done = play(over, over, say("ok"))
    assert isinstance(done.result, ContextOverflow)
    assert done.told == ["b/m overflow", "compact b/m", "b/m overflow", "compact b/m"]


@pytest.mark.parametrize("error", [Invalid("no such option"), BudgetExhausted("spent")])
def test_what_asking_again_cannot_mend_is_raised_as_it_is(error: OxiosError) -> None:
    """The same error object, after one attempt."""
    done = play(Turn(error=error), say("ok"))
    assert done.result is error
    assert done.providers["b"].left == 1


def test_a_broken_invariant_passes_through() -> None:
    """A script that is over is no provider's failure: nothing is retried, nothing hidden."""
    with pytest.raises(ScriptMismatch, match="request 1"):
        play()
