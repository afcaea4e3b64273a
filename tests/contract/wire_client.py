"""One wire client against a scripted server: what the suites of both wire formats ask with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import pytest

from kernel.adapters.providers.client import WireClient
from kernel.errors import OxiosError
from kernel.ports.provider import Message, ModelRequest, ProviderConfig, Reply, Waits
from kernel.testing.model_server import Answer, ModelServer, Reaction, model_server

REQUEST: Final = ModelRequest("m", [Message("user", "hi")], deadline_s=20.0)
QUICK: Final = Waits(connect_s=0.2, first_byte_s=0.2, idle_s=0.1)
HALF: Final = Answer("half of it", finish=None, usage=None, done=False)


async def ask(provider: WireClient, request: ModelRequest = REQUEST) -> Reply:
    """The reply, which is the last event."""
    events = [event async for event in provider.stream(request)]
    assert isinstance(events[-1], Reply)
    return events[-1]


@dataclass(frozen=True, slots=True)
class WireUnderTest:
    """A client's name, kind and maker."""

    name: str
    kind: str
    make: Callable[[ProviderConfig, Mapping[str, str]], WireClient]

    @asynccontextmanager
    async def serving(
        self, *script: Reaction, waits: Waits = QUICK, key_env: str = "", environ: Mapping[str, str] | None = None
    ) -> AsyncGenerator[tuple[WireClient, ModelServer]]:
        """A client, and the server it speaks to."""
        async with model_server(script) as server:
            config = ProviderConfig(self.name, self.kind, server.url, key_env, model="default-model", waits=waits)
            provider = self.make(config, environ or {})
            try:
                yield provider, server
            finally:
                await provider.aclose()

    def raised_by(
        self, kind: type[OxiosError], *script: Reaction, waits: Waits = QUICK, deadline_s: float = 20.0
    ) -> OxiosError:
        """The error of one request, exactly of `kind`."""
        found: list[OxiosError] = []

        async def main() -> None:
            async with self.serving(*script, waits=waits) as (provider, _):
                with pytest.raises(OxiosError) as raised, anyio.fail_after(10):
                    await ask(provider, ModelRequest("m", [Message("user", "hi")], deadline_s=deadline_s))
                found.append(raised.value)

        anyio.run(main)
        assert type(found[0]) is kind
        return found[0]

    def replied_by(self, *script: Reaction) -> Reply:
        """The reply to one request."""
        found: list[Reply] = []

        async def main() -> None:
            async with self.serving(*script) as (provider, _):
                with anyio.fail_after(10):
                    found.append(await ask(provider))

        anyio.run(main)
        return found[0]
