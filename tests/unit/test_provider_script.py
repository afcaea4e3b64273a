"""The scripted provider and the registry: a test, or a person, learns exactly what did not fit."""

from __future__ import annotations

import anyio
import pytest

from kernel.adapters.providers.registry import make_provider
from kernel.errors import Invalid
from kernel.ports.provider import Message, ModelRequest, ProviderConfig
from kernel.testing.provider import Expect, ScriptedProvider, ScriptMismatch, Turn, call, say

REQUEST = ModelRequest("m", (Message("user", "hi"),))


def _play(*turns: Turn, requests: int = 1) -> None:
    scripted = ScriptedProvider(turns)

    async def main() -> None:
        for _ in range(requests):
            assert [event async for event in scripted.stream(REQUEST)]

    anyio.run(main)


def test_a_kind_that_is_not_there_is_named_with_those_that_are() -> None:
    """A misspelt kind says what to write instead."""
    with pytest.raises(Invalid, match="opnai") as raised:
        make_provider(ProviderConfig("x", "opnai"))
    assert "openai" in raised.value.remedy


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
    """A test learns which point of which turn differed."""
    with pytest.raises(ScriptMismatch, match=f"turn 1: {word}"):
        _play(say("x", expect=expect))


def test_a_script_that_is_over_raises() -> None:
    """One request too many fails the test."""
    with pytest.raises(ScriptMismatch, match="request 2"):
        _play(call("read", path="a", expect=Expect("hi", 1, (), "m")), requests=2)
