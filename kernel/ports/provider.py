"""The model port: what a provider is given and what it streams back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from kernel.jsontypes import JsonObject

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "tool_calls", "length", "content_filter", "other"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the model wrote it: `arguments` is its raw text, possibly not JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `wire` caches its encoding per wire format: each message is encoded once."""

    role: Role
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    """For role `tool`: which call of the assistant message before it this answers."""
    wire: dict[str, bytes] = field(default_factory=dict[str, bytes], compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it. `schema` is a JSON Schema of an object."""

    name: str
    description: str
    schema: JsonObject


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """`tools_wire` caches the encoded tool list per wire format; share it over a run."""

    model: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    output_tokens_max: int = 8192
    temperature: float | None = None
    deadline_s: float = 300.0
    tools_wire: dict[str, bytes] = field(default_factory=dict[str, bytes], compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider reported them; `reported` is False where it reported none."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reported: bool = True


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A fragment of a tool call: shown live, never acted on. `index` orders the calls of a reply."""

    index: int
    name: str
    fragment: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole answer; always the last event of a stream. `model` is the model that answered."""

    text: str
    calls: tuple[ToolCall, ...]
    finish: FinishReason
    usage: Usage
    model: str
    reasoning: str = ""


ModelEvent: TypeAlias = TextDelta | ReasoningDelta | CallDelta | Reply


class Provider(Protocol):
    """One way to reach models. A provider object is shared by all runs."""

    @property
    def name(self) -> str: ...

    @property
    def endpoint(self) -> str:
        """`host:port` that its requests go to, or "" for one that needs no network."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Deltas, then exactly one `Reply`. Cancelling the iteration ends the request.

        Raises: ProviderDown (with `retry_after_s` where the provider said so), Invalid (the
        request cannot be served: unknown model, too long, refused key).
        """
        ...

    async def aclose(self) -> None: ...
