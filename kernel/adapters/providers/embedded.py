"""The default provider: the embedded planner, behind the same port as any model.

Guarantees: needs no key, no clock and no network; the same conversation gives the same reply; keeps
nothing between requests, so a run resumed after a crash goes on where its transcript stands. It
follows explicit instructions and says plainly what it cannot do; it is no language model and never
speaks as one. `usage` counts a token for every four characters. Source: RFC-0006.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from typing import Final

import anyio.lowlevel

from kernel.adapters.providers.planner.follow import follow
from kernel.adapters.providers.planner.program import Program
from kernel.adapters.providers.planner.report import report
from kernel.adapters.providers.planner.toolbox import Toolbox
from kernel.adapters.providers.planner.transcript import read_transcript
from kernel.adapters.providers.planner.understand import understand
from kernel.ports.provider import (
    CallDelta,
    Message,
    ModelEvent,
    ModelRequest,
    Provider,
    ProviderConfig,
    Reply,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)

KIND: Final = "embedded"
MODEL: Final = "embedded/planner"
CHARS_PER_TOKEN: Final = 4
_PROGRAMS_KEPT: Final = 128


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
        await anyio.lowlevel.checkpoint()
        reply = next_reply(request.messages, request.tools)
        for index, call in enumerate(reply.calls):
            yield CallDelta(index, call.name, call.arguments)
        for line in reply.text.splitlines(keepends=True):
            yield TextDelta(line)
        yield reply

    async def aclose(self) -> None:
        """Nothing is held."""


def next_reply(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
    """The next tool calls, or the final text."""
    transcript = read_transcript(messages)
    program = _program(transcript.instructions, _Tools(tools))
    position = follow(program, transcript.calls)
    if position.calls:
        return _reply("", tuple(position.calls), messages)
    return _reply(report(position, transcript.answered), (), messages)


class _Tools:
    """The offered tools as a key: equal where names and arguments are, whatever the descriptions say."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self.tools = tools
        self._key = tuple((tool.name, id(tool.schema)) for tool in tools)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tools) and self._key == other._key


@lru_cache(maxsize=_PROGRAMS_KEPT)
def _program(instructions: tuple[str, ...], tools: _Tools) -> Program:
    # Understanding is a pure function; what it gave is kept because every round of a run asks again.
    return understand(instructions, Toolbox(tools.tools))


def _reply(text: str, calls: tuple[ToolCall, ...], messages: Sequence[Message]) -> Reply:
    asked = sum(len(message.text) + sum(len(call.arguments) for call in message.calls) for message in messages)
    said = len(text) + sum(len(call.arguments) for call in calls)
    usage = Usage(asked // CHARS_PER_TOKEN, -(-said // CHARS_PER_TOKEN))
    return Reply(text, calls, "tool_calls" if calls else "stop", usage, MODEL)
