"""The default provider: the embedded planner, behind the same port as any model.

Guarantees: needs no key, no clock and no network; the same conversation gives the same reply; keeps
nothing between requests, so a run resumed after a crash goes on where its transcript stands. It
follows explicit instructions and says plainly what it cannot do; it is no language model and never
speaks as one. `usage` counts a token for every four characters. Source: RFC-0006.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio.lowlevel

from kernel.ports.provider import CallDelta, ModelEvent, ModelRequest, Provider, ProviderConfig, TextDelta

KIND: Final = "embedded"


def make(config: ProviderConfig) -> Provider:
    return EmbeddedPlanner(config.name)


class EmbeddedPlanner:
    """Follows instructions."""

    def __init__(self, name: str = KIND) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def endpoint(self) -> str:
        return ""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Raises: nothing of its own."""
        from kernel.adapters.providers.planner.answer import next_reply  # noqa: PLC0415 -- most runs have a model

        await anyio.lowlevel.checkpoint()
        reply = next_reply(request.messages, request.tools)
        for index, call in enumerate(reply.calls):
            yield CallDelta(index, call.name, call.arguments)
        for line in reply.text.splitlines(keepends=True):
            yield TextDelta(line)
        yield reply

    async def aclose(self) -> None:
        """Nothing is held."""
