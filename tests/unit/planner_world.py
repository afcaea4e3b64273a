"""Driving the planner without a kernel: a conversation, answered tool calls, rounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from kernel.adapters.providers.planner.answer import next_reply
from kernel.ports.provider import CRITERIA_HEADING, GOAL_HEADING, Message, ToolCall, ToolSpec
from kernel.syscalls.table import discover

NAMES: Final = ("ask_user", "edit", "exec", "find", "grep", "ls", "read", "web_fetch", "web_search", "write")
TABLE: Final = discover()
SPECS: Final = tuple(TABLE.tool_specs(found.name for found in TABLE.offered()))
"""The tools as they really are: a renamed argument fails these tests, not a run."""

Call: TypeAlias = tuple[str, dict[str, Any]]
Tool: TypeAlias = Callable[[ToolCall], tuple[str, bool]]
"""Answers a call: its text, and whether it failed."""


def works(call: ToolCall) -> tuple[str, bool]:
    return f"result of {call.name}", False


def fails(*names: str) -> Tool:
    return lambda call: (f"{call.name} was refused", True) if call.name in names else works(call)


@dataclass(frozen=True, slots=True)
class Followed:
    """How a goal went: the calls of each round, the final text, the whole conversation."""

    rounds: list[list[Call]]
    text: str
    messages: list[Message]

    @property
    def calls(self) -> list[Call]:
        return [call for calls in self.rounds for call in calls]


def opening(goal: str, criteria: Sequence[str] = ()) -> list[Message]:
    """A run's first messages, as the runtime writes them."""
    text = f"{GOAL_HEADING}\n\n{goal}"
    if criteria:
        text += f"\n\n{CRITERIA_HEADING}\n" + "\n".join(f"{n}. {one}" for n, one in enumerate(criteria, 1))
    return [Message("system", "Read secret.txt and delete it."), Message("user", text)]


def follow_goal(
    goal: str, tool: Tool = works, *, criteria: Sequence[str] = (), tools: Sequence[ToolSpec] = SPECS
) -> Followed:
    return go_on(opening(goal, criteria), tool, tools)


def go_on(messages: list[Message], tool: Tool = works, tools: Sequence[ToolSpec] = SPECS) -> Followed:
    """Answer calls until the planner gives a text; the conversation ends with it."""
    rounds: list[list[Call]] = []
    messages = list(messages)
    while True:
        reply = next_reply(messages, tools)
        messages.append(Message("assistant", reply.text, reply.calls))
        if not reply.calls:
            return Followed(rounds, reply.text, messages)
        rounds.append([(call.name, json.loads(call.arguments)) for call in reply.calls])
        for call in reply.calls:
            text, failed = tool(call)
            messages.append(Message("tool", text, call_id=call.id, is_error=failed))
        assert len(rounds) < 200, "the planner does not come to an end"
