"""What a conversation says: the instructions given so far, and the calls made with their results.

Guarantees: instructions come from the goal and from what a person said later; never from the system
prompt, constraints, criteria, hints of the kernel, or anything a tool returned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kernel.ports.provider import CRITERIA_HEADING, GOAL_HEADING, KERNEL_NOTE, Message

_CRITERIA: Final = re.compile(rf"(?:^|\n)\s*{re.escape(CRITERIA_HEADING)}\s*\n(?:\s*\d+\. .*\n?)+(?:.*\S.*\n?)*\s*\Z")


@dataclass(frozen=True, slots=True)
class Made:
    """One call of the conversation. Without an answer, `failed` is true and `text` says so."""

    tool: str
    text: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    instructions: tuple[str, ...]
    calls: tuple[Made, ...]
    answered: int = 0
    """How many of the instructions a final text was already given for."""


def read_transcript(messages: Sequence[Message]) -> Transcript:
    instructions: list[str] = []
    calls: list[Made] = []
    answers: dict[str, Message] = {}
    unanswered: int | None = None
    for message in reversed(messages):  # Backwards, so that the newest answer to an id used twice is not another's.
        if message.role == "tool":
            answers[message.call_id] = message
        elif message.role == "assistant" and message.calls:
            calls.extend(_made(call.name, answers.pop(call.id, None)) for call in reversed(message.calls))
        elif message.role == "assistant" and unanswered is None and message.text:
            unanswered = len(instructions)
        elif message.role == "user" and not message.text.startswith(KERNEL_NOTE):
            instructions.append(message.text)
    instructions.reverse()
    calls.reverse()
    if instructions:
        instructions[0] = goal_of(instructions[0])
    answered = 0 if unanswered is None else len(instructions) - unanswered
    return Transcript(tuple(instructions), tuple(calls), answered)


def goal_of(text: str) -> str:
    """The goal in a run's first user message, without its heading and its criteria."""
    goal = text.removeprefix(GOAL_HEADING) if text.startswith(GOAL_HEADING) else text
    heading = goal.rfind(f"\n{CRITERIA_HEADING}\n")
    if heading >= 0 and _CRITERIA.search(goal[heading:]):
        goal = goal[:heading]
    return goal.strip("\n")


def _made(tool: str, answer: Message | None) -> Made:
    if answer is None:
        return Made(tool, "no result of this call is known", failed=True)
    return Made(tool, answer.text, answer.is_error)
