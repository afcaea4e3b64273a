"""What a goal was understood as: steps of actions, whose arguments may use earlier results.

Actions are numbered from 0 through the whole program: a `Ref` names one by its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Part: TypeAlias = Literal["text", "lines", "words", "characters", "bytes", "json"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A part of an action's result: its text, a count of it, or a place in it where it is JSON."""

    action: int
    part: Part = "text"
    path: tuple[str, ...] = ()
    line_end: bool = False
    """End it with a newline where it does not."""


@dataclass(frozen=True, slots=True)
class Template:
    """Text with results in it."""

    parts: tuple[str | Ref, ...]

    def refs(self) -> Iterator[Ref]:
        return (part for part in self.parts if isinstance(part, Ref))


def literal(text: str) -> Template:
    return Template((text,))


def plain_or(template: Template) -> Template | str:
    """Just text, where no result is in it."""
    if any(template.refs()):
        return template
    return "".join(str(part) for part in template.parts)


Value: TypeAlias = "Template | str | int | float | bool | Sequence[Value] | Mapping[str, Value] | None"


@dataclass(frozen=True, slots=True)
class Action:
    """One tool call. `together`: may be asked for in one reply with its neighbours."""

    number: int
    tool: str
    args: Mapping[str, Value]
    role: str = ""
    together: bool = False
    uses: tuple[Ref, ...] = ()
    """The references in `args`."""


def refs_in(value: Value) -> Iterator[Ref]:
    if isinstance(value, Template):
        yield from value.refs()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from refs_in(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from refs_in(inner)


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction. With a `problem` it is not done, and the report says why."""

    source: str
    actions: tuple[Action, ...] = ()
    group: int = 0
    """Steps of one sentence share it; their `together` actions go into one reply."""
    linked: bool = False
    """Came after "then": not done where the step before it was not."""
    problem: str = ""
    aside: bool = False
    """Nothing to do: a constraint, or "show the result"."""
    shows: Value = None
    """What the step gives, where that is not simply the text of its results."""
    answer: bool = False
    """`shows` is the final answer, and nothing stands around it."""
    reads: frozenset[str] = frozenset()
    makes: frozenset[str] = frozenset()
    runs: bool = False
    """Runs a program, which may depend on anything made before."""
    turn: int = 0
    """Which instruction it belongs to: 0 for the goal, then what was said later."""

    def refs(self) -> Iterator[Ref]:
        for action in self.actions:
            yield from action.uses
        yield from refs_in(self.shows)


@dataclass(frozen=True, slots=True)
class Program:
    steps: tuple[Step, ...]
