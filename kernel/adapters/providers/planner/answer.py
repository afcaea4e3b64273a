"""What the embedded planner says next: the instructions understood, followed as far as the transcript goes.

Guarantees: a pure function of the messages and the tools, so a resumed run goes on where it stands.
Source: RFC-0006.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from kernel.adapters.providers.planner.follow import follow
from kernel.adapters.providers.planner.program import Program
from kernel.adapters.providers.planner.report import report
from kernel.adapters.providers.planner.toolbox import Toolbox
from kernel.adapters.providers.planner.transcript import read_transcript
from kernel.adapters.providers.planner.understand import understand
from kernel.ports.provider import Message, Reply, ToolCall, ToolSpec, Usage

MODEL: Final = "embedded/planner"
CHARS_PER_TOKEN: Final = 4
_PROGRAMS_KEPT: Final = 128


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
