"""What a scripted model server answers, whatever wire format it is asked in.

Guarantees: one reaction says the same in every format; `Fault` and `Raw` are sent as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kernel.ports.provider import Usage

Then: TypeAlias = Literal["end", "hang", "drop"]
Cut: TypeAlias = Callable[[bytes], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One tool call. `arguments` is sent as it stands, in `pieces` deltas."""

    name: str
    arguments: str = "{}"
    id: str = "auto"
    index: int | None = None
    pieces: int = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, streamed as chunks or, without `stream`, as one JSON object."""

    text: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    reasoning: str = ""
    finish: str | None = "auto"
    usage: Usage | None = Usage(input_tokens=100, output_tokens=20, cached_tokens=40)  # noqa: RUF009 -- frozen
    stream: bool = True
    done: bool = True
    """End with the mark that the wire format ends with."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error status."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are."""

    body: bytes
    content_type: str = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Scene:
    """How a body is sent: cut by `cut`, and ended, held open or dropped after it. `silent`: no answer at all."""

    body: Answer | Fault | Raw
    cut: Cut | None = None
    then: Then = "end"
    silent: bool = False
    pause_s: float = 0.0
    """Between pieces, for a model that takes its time."""


Reaction: TypeAlias = Scene | Answer | Fault | Raw


def in_pieces(size: int) -> Cut:
    """Cut into pieces of `size` bytes, whatever they split."""
    return lambda payload: (payload[start : start + size] for start in range(0, len(payload), size))


def words(text: str) -> list[str]:
    """As a model would stream it: a word and the space before it at a time."""
    found: list[str] = []
    for word in text.split(" "):
        found.append(f" {word}" if found else word)
    return found if text else []


def id_of(call: ScriptedCall, place: int) -> str:
    return f"call_{place + 1}" if call.id == "auto" else call.id


def argument_pieces(call: ScriptedCall) -> list[str]:
    size = max(1, -(-len(call.arguments) // max(1, call.pieces)))
    return [call.arguments[start : start + size] for start in range(0, len(call.arguments), size)]
