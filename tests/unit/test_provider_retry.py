"""Asking a provider again: when, how often, how long after."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from kernel.adapters.providers.registry import make_provider
from kernel.adapters.providers.retry import ATTEMPTS_MAX, WAIT_S_MAX, Retrying
from kernel.clock import SystemClock
from kernel.errors import Invalid, OxiosError, ProviderDown
from kernel.ports.provider import Message, ModelEvent, ModelRequest, ProviderConfig, TextDelta
from kernel.testing.provider import Expect, ScriptedProvider, ScriptMismatch, Turn, call, say

REQUEST = ModelRequest("m", [Message("user", "hi there")], deadline_s=100.0)
BUSY = Turn(error=ProviderDown("busy"))


class HandClock:
    """Time passes only while something sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def now_us(self) -> int:
        return int(self.now_s * 1e6)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await anyio.lowlevel.checkpoint()


class Breaking(ScriptedProvider):
    """Breaks off within its reply."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.requests.append(request)
        yield TextDelta("half")
        raise ProviderDown("broke off")


def play(*turns: Turn, request: ModelRequest = REQUEST) -> tuple[list[ModelEvent] | OxiosError, HandClock, int]:
    """What came of it, the clock, and how many turns were left."""
    clock = HandClock()
    scripted = ScriptedProvider(turns)
    provider = Retrying(scripted, clock, jitter=lambda: 0.5)

    async def main() -> list[ModelEvent] | OxiosError:
        try:
            return [event async for event in provider.stream(request)]
        except OxiosError as error:
            return error

    return anyio.run(main), clock, scripted.left


def test_a_busy_provider_is_asked_again_after_doubling_waits() -> None:
    """Two failures are waited out, 0.5 s and 1 s on average, and the third attempt's reply is given."""
    events, clock, left = play(BUSY, BUSY, say("ok"))
    assert isinstance(events, list)
    assert events[0] == TextDelta("ok")
    assert (clock.slept, left) == ([0.5, 1.0], 0)


def test_attempts_are_bounded() -> None:
    """After the last attempt the error goes to the caller."""
    error, clock, left = play(*[BUSY] * (ATTEMPTS_MAX + 1))
    assert isinstance(error, ProviderDown)
    assert (len(clock.slept), left) == (ATTEMPTS_MAX - 1, 1)


def test_the_provider_says_how_long() -> None:
    """Retry-After is waited exactly."""
    _, clock, _ = play(Turn(error=ProviderDown("busy", retry_after_s=7.0)), say("ok"))
    assert clock.slept == [7.0]


@pytest.mark.parametrize(("asked_s", "sleeps"), [(WAIT_S_MAX, 1), (WAIT_S_MAX + 1, 0)])
def test_a_wait_that_is_too_long_is_not_begun(asked_s: float, sleeps: int) -> None:
    """A provider that is away for longer than we wait is the caller's matter at once."""
    _, clock, _ = play(Turn(error=ProviderDown("busy", retry_after_s=asked_s)), say("ok"))
    assert len(clock.slept) == sleeps


def test_no_wait_outlasts_the_deadline() -> None:
    """A request whose time would be over by then is not asked again, and a later attempt gets what is left."""
    error, clock, _ = play(BUSY, say("ok"), request=ModelRequest("m", (), deadline_s=0.4))
    assert isinstance(error, ProviderDown)
    assert clock.slept == []


def test_a_request_at_fault_is_not_repeated() -> None:
    """Only ProviderDown is asked again."""
    error, clock, left = play(Turn(error=Invalid("no such model")), say("ok"))
    assert isinstance(error, Invalid)
    assert (clock.slept, left) == ([], 1)


def test_nothing_is_repeated_after_the_first_event() -> None:
    """Text that was shown is never shown again."""
    broken = Breaking([])
    clock = HandClock()

    async def main() -> None:
        stream = Retrying(broken, clock).stream(REQUEST)
        assert await anext(stream) == TextDelta("half")
        with pytest.raises(ProviderDown):
            await anext(stream)

    anyio.run(main)
    assert (len(broken.requests), clock.slept) == (1, [])


def test_jitter_spreads_the_waits() -> None:
    """Many clients that failed together do not come back together."""
    waits: set[float] = set()
    for _ in range(20):
        clock = HandClock()
        provider = Retrying(ScriptedProvider([BUSY, say("ok")]), clock)

        async def main(provider: Retrying = provider) -> None:
            assert [event async for event in provider.stream(REQUEST)]

        anyio.run(main)
        waits.add(clock.slept[0])
    assert len(waits) > 10
    assert all(0.25 <= wait < 0.75 for wait in waits)


def test_a_kind_that_is_not_there_is_named_with_those_that_are() -> None:
    """A misspelt kind says what to write instead."""
    with pytest.raises(Invalid, match="opnai") as raised:
        make_provider(ProviderConfig("x", "opnai"), SystemClock())
    assert "embedded, openai" in raised.value.remedy


def test_only_what_needs_a_network_is_wrapped() -> None:
    """The embedded planner fails for no passing reason, so it is not asked again."""
    assert not isinstance(make_provider(ProviderConfig("e", "embedded"), SystemClock()), Retrying)
    assert isinstance(make_provider(ProviderConfig("o", "openai", "http://127.0.0.1:1/v1"), SystemClock()), Retrying)


@pytest.mark.parametrize(
    ("expect", "word"),
    [
        (Expect(last_text="bye"), "newest message"),
        (Expect(messages=2), "messages"),
        (Expect(tools=("read",)), "tools"),
        (Expect(model="other"), "model"),
    ],
)
def test_a_script_refuses_a_request_that_differs(expect: Expect, word: str) -> None:
    """A test learns which point of which turn differed, and no retry hides it."""
    with pytest.raises(ScriptMismatch, match=f"turn 1: {word}"):
        play(say("x", expect=expect))


def test_a_script_that_is_over_raises() -> None:
    """One request too many fails the test."""
    scripted = ScriptedProvider([call("read", path="a", expect=Expect("hi", 1, (), "m"))])

    async def main() -> None:
        assert [event async for event in scripted.stream(REQUEST)]
        assert [event async for event in scripted.stream(REQUEST)]

    with pytest.raises(ScriptMismatch, match="request 2"):
        anyio.run(main)
