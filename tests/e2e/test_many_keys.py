"""Providers with several keys, over both wire formats: a key that is refused or rests is not the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.testing.model_server import Asked, Fault, Reaction
from tests.e2e.provider_place import DONE, WIRES, WRITE, Place, fault, names, place

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", WIRES)]

KEYS = {"providers.bad.keys": "FIRST_KEY,SECOND_KEY"}


@pytest.fixture(autouse=True)
def _two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_KEY", "first-secret")
    monkeypatch.setenv("SECOND_KEY", "second-secret")


def key_of(asked: Asked) -> str:
    """The key that a request came with, in either format."""
    headers = {name.lower(): value for name, value in asked.headers.items()}
    return headers.get("x-api-key") or headers["authorization"].removeprefix("Bearer ")


def keys_of(here: Place) -> list[str]:
    return [key_of(asked).removesuffix("-secret") for asked in here.server.requests]


REFUSED_ONCE = [
    ("401", fault(401), "auth"),
    ("402", fault(402), "billing"),
    ("403", fault(403), "auth"),
    ("429 without Retry-After", fault(429), "rate_limit"),
    ("429 with", fault(429, Retry_After="9"), "rate_limit"),
    ("429 for good", fault(429, "insufficient_quota"), "billing"),
    ("408", fault(408), "timeout"),
]


@pytest.mark.parametrize("case", REFUSED_ONCE, ids=names(REFUSED_ONCE))
async def test_a_second_key_takes_over_at_once(tmp_path: Path, wire: str, case: tuple[str, Fault, str]) -> None:
    """No wait, no word in the conversation; the record says which key failed and why, and the next run spares it."""
    _, refusal, kind = case
    async with place(tmp_path, wire, [WRITE, refusal, DONE, DONE], KEYS) as here:
        state = await here.run()
        assert (state.status, state.output, state.note) == ("finished", DONE.text, "")
        assert keys_of(here) == ["first", "first", "second"]
        assert here.clock.ahead_s == 0
        [failed] = await here.said(state.run, "model.failed")
        assert (failed["class"], failed["key"]) == (kind, "env:FIRST_KEY")
        assert (await here.run()).status == "finished"
        assert keys_of(here)[3:] == ["second"]


async def test_no_key_is_ever_written_down(tmp_path: Path, wire: str) -> None:
    """Not where a provider quotes it in its refusal, not in the journal, not in what the run says."""
    told = fault(401, message="the key first-secret is not known")
    async with place(tmp_path, wire, [WRITE, told, fault(401, message="nor is second-secret")], KEYS) as here:
        state = await here.run()
        assert state.status == "paused"
        assert "secret" not in state.note
        assert all("-secret" not in str(one) for one in await here.said(state.run, "model.failed"))


@pytest.mark.parametrize("after_s", [None, 7], ids=["120 s by itself", "as Retry-After says"])
async def test_with_every_key_cooling_the_run_waits_and_goes_on_by_itself(
    tmp_path: Path, wire: str, after_s: int | None
) -> None:
    """It sleeps until the first key is free, no longer, and finishes; nobody has to resume it."""
    busy = fault(429) if after_s is None else fault(429, Retry_After=str(after_s))

    def react(asked: Asked) -> Reaction:
        if len(here.server.requests) == 1:
            return WRITE
        return busy if here.clock.ahead_s < (after_s or 120) else DONE

    async with place(tmp_path, wire, [], {**KEYS, "routing.wait_s": "280"}) as here:
        here.server.respond = react
        state = await here.run()
        assert (state.status, state.output, state.note) == ("finished", DONE.text, "")
        assert (after_s or 120) <= here.clock.ahead_s < (after_s or 120) + 130
        assert set(keys_of(here)[1:]) == {"first", "second"}


async def test_keys_that_cool_for_longer_than_a_run_waits_pause_it(tmp_path: Path, wire: str) -> None:
    """It says when the first is free, and is resumed then."""
    busy = fault(429, Retry_After="1000")
    async with place(tmp_path, wire, [WRITE, busy, busy, DONE], {**KEYS, "routing.wait_s": "200"}) as here:
        state = await here.run()
        assert state.status == "paused"
        assert "not before 1000 s" in state.note
        assert keys_of(here) == ["first", "first", "second"]
        paused = await here.resume(state)
        assert (paused.status, len(here.server.requests)) == ("paused", 3), "the keys are left alone until then"
        here.clock.ahead_s += 1001
        ended = await here.resume(paused)
        assert (ended.status, ended.output) == ("finished", DONE.text), ended.note


async def test_keys_that_are_all_refused_are_not_waited_for(tmp_path: Path, wire: str) -> None:
    """Waiting mends no wrong key: the run pauses at once, says what to do, and goes on with the mended key."""
    async with place(tmp_path, wire, [WRITE, fault(401), fault(402), DONE], {**KEYS, "routing.wait_s": "280"}) as here:
        state = await here.run()
        assert (state.status, here.clock.ahead_s) == ("paused", 0)
        assert "FIRST_KEY" in state.note
        assert "resume the run" in state.note
        assert "not before" not in state.note  # A mended key is another, which does not rest.
        here.kernel.supervisor.desk.engine.health.forget("bad")
        assert (await here.resume(state)).status == "finished"
