"""A provider that plays a script, for tests that need an exact model.

Guarantees: replies come in the order of the script; a request beyond its end, or one that differs
from what its turn expects, raises `ScriptMismatch` (an AssertionError, which no retry handles). It
needs no clock and no network. It says nothing about how a real model would behave.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.errors import OxiosError
from kernel.jsontypes import JsonValue
from kernel.ports.provider import (
    CallDelta,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolCall,
    Usage,
)

_USAGE: Final = Usage(input_tokens=10, output_tokens=5)


class ScriptMismatch(AssertionError):
    """The kernel asked for something the script did not foresee."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What the request of a turn must be; None leaves a point open."""

    last_text: str | None = None
    """The newest message contains it."""
    messages: int | None = None
    tools: tuple[str, ...] | None = None
    model: str | None = None

    def check(self, request: ModelRequest, turn: int) -> None:
        """Raises: ScriptMismatch, naming the turn, the point, and both values."""
        if self.messages is not None and len(request.messages) != self.messages:
            _differ(turn, "messages", self.messages, len(request.messages))
        if self.model is not None and request.model != self.model:
            _differ(turn, "model", self.model, request.model)
        tools = tuple(tool.name for tool in request.tools)
        if self.tools is not None and tools != self.tools:
            _differ(turn, "tools", self.tools, tools)
        last = request.messages[-1].text if request.messages else ""
        if self.last_text is not None and self.last_text not in last:
            _differ(turn, "newest message", self.last_text, last)


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply: what is said and called, or the error raised instead. `hang` never answers."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    usage: Usage = _USAGE
    error: OxiosError | None = None
    hang: bool = False
    cut_off: bool = False
    """The reply ended at its length limit."""
    expect: Expect = field(default_factory=Expect)


def say(text: str, *, expect: Expect | None = None) -> Turn:
    """A turn that ends the run with `text`."""
    return Turn(text=text, expect=expect or Expect())


def call(tool: str, /, *, call_id: str = "", expect: Expect | None = None, **arguments: JsonValue) -> Turn:
    """A turn with one tool call. Without `call_id`, the turn's number makes one."""
    return Turn(calls=(ToolCall(call_id, tool, json.dumps(arguments)),), expect=expect or Expect())


def calls(*turns: Turn, text: str = "") -> Turn:
    """The calls of several turns as the parallel calls of one."""
    return Turn(text=text, calls=tuple(one for turn in turns for one in turn.calls))


class ScriptedProvider:
    """Plays `script`, one turn a request. `requests` keeps what was asked; `cancelled` counts broken-off streams."""

    def __init__(self, script: Sequence[Turn], *, name: str = "scripted") -> None:
        self._name = name
        self._script = tuple(script)
        self.requests: list[ModelRequest] = []
        self.cancelled = 0
        self.closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def endpoint(self) -> str:
        return ""

    @property
    def left(self) -> int:
        """Turns not played yet; a test that expects a whole script asserts 0."""
        return len(self._script) - len(self.requests)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Raises: ScriptMismatch; or the turn's own error."""
        number = len(self.requests) + 1
        if number > len(self._script):
            raise ScriptMismatch(f"request {number} came, but the script has {len(self._script)} turns")
        turn = self._script[number - 1]
        turn.expect.check(request, number)
        self.requests.append(request)
        finished = False
        try:
            if turn.error is not None:
                finished = True
                raise turn.error
            if turn.hang:
                await anyio.sleep_forever()
            reply = _reply(turn, number, request.model or self._name)
            for event in _deltas(reply):
                yield event
            finished = True
            yield reply
        finally:
            self.cancelled += not finished

    async def aclose(self) -> None:
        self.closed = True


def _reply(turn: Turn, number: int, model: str) -> Reply:
    numbered = tuple(
        ToolCall(one.id or f"turn{number}-{index}", one.name, one.arguments)
        for index, one in enumerate(turn.calls, start=1)
    )
    finish = "length" if turn.cut_off else "tool_calls" if numbered else "stop"
    return Reply(turn.text, numbered, finish, turn.usage, model, turn.reasoning)


def _deltas(reply: Reply) -> Sequence[ModelEvent]:
    events: list[ModelEvent] = []
    if reply.reasoning:
        events.append(ReasoningDelta(reply.reasoning))
    events.extend(TextDelta(part) for part in reply.text.splitlines(keepends=True))
    events.extend(CallDelta(index, one.name, one.arguments) for index, one in enumerate(reply.calls))
    return events


def _differ(turn: int, point: str, expected: object, found: object) -> None:
    raise ScriptMismatch(f"turn {turn}: {point} expected {expected!r}, found {found!r}")
