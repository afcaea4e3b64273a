"""The model port: what a provider is given and what it streams back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal, Protocol, TypeAlias

from kernel.errors import Invalid, ProviderDown
from kernel.jsontypes import JsonObject
from kernel.limits import ATTACHMENT_BYTES_MAX

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "tool_calls", "length", "content_filter", "other"]

GOAL_HEADING: Final = "Carry out this goal:"
"""First line of a run's user message; a blank line and the goal, word for word, follow."""
CRITERIA_HEADING: Final = "Acceptance criteria:"
"""Line before the numbered criteria, where there are any."""
KERNEL_NOTE: Final = "[kernel] "
"""Begins a user message that the kernel wrote, a hint: no instruction of a person."""
CUT_MARK: Final = "the middle is left out here"
"""Stands in a tool result of which the model was given the beginning and the end only."""
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,100}")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the model wrote it: `arguments` is its raw text, possibly not JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a person shows to the model. Which types are taken is the wire format's to say.

    Raises: Invalid, where `media_type` is none, or `data` is empty or longer than ATTACHMENT_BYTES_MAX.
    """

    media_type: str
    data: bytes = field(repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        shown = self.name or "an attachment"
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise Invalid(f"{shown} has the media type {self.media_type!r}", remedy="write it as in image/png")
        if not self.data:
            raise Invalid(f"{shown} is empty", remedy="attach a file that holds something")
        if len(self.data) > ATTACHMENT_BYTES_MAX:
            raise Invalid(
                f"{shown} has {len(self.data)} bytes, at most {ATTACHMENT_BYTES_MAX} go to a model",
                remedy="attach a smaller file, or let the agent read it with a tool",
            )


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `wire` caches its encoding per wire format: each message is encoded once."""

    role: Role
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    """For role `tool`: which call of the assistant message before it this answers."""
    is_error: bool = False
    """For role `tool`: the call failed or was refused, and `text` says why."""
    attachments: tuple[Attachment, ...] = ()
    """For role `user`: files that come before the text."""
    wire: dict[str, bytes] = field(default_factory=dict[str, bytes], compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it. `schema` is a JSON Schema of an object.

    `wire` caches its encoding per wire format: each tool is encoded once for all runs.
    """

    name: str
    description: str
    schema: JsonObject
    wire: dict[str, bytes] = field(default_factory=dict[str, bytes], compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request. Messages and tools keep their encodings, so the same objects are given again and again."""

    model: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    output_tokens_max: int = 8192
    temperature: float | None = None
    deadline_s: float = 300.0
    key: str | None = field(default=None, compare=False, repr=False)
    """The key to send, "" for none; None leaves it to the provider's own configuration."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider reported them; `reported` is False where it reported none.

    `input_tokens` counts the whole prompt; `cached_tokens` and `written_tokens` are the parts of it
    that were read from, and written to, the provider's cache.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reported: bool = True
    written_tokens: int = 0


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
    """The whole answer; always the last event of a stream. `model` is `provider/name` of the model that answered."""

    text: str
    calls: tuple[ToolCall, ...]
    finish: FinishReason
    usage: Usage
    model: str
    reasoning: str = ""


ModelEvent: TypeAlias = TextDelta | ReasoningDelta | CallDelta | Reply


class KeyRefused(Invalid):
    """The provider refused the key, or there is none."""

    code = "key_refused"


class ModelUnknown(Invalid):
    """The provider knows no such model, or there is nothing at this address."""

    code = "model_unknown"


class ContextOverflow(Invalid):
    """The conversation is longer than the model takes."""

    code = "context_overflow"


class QuotaSpent(Invalid):
    """The account behind the key has nothing left; waiting a little does not help."""

    code = "quota_spent"


class ContentRefused(Invalid):
    """The provider's own rules refuse what was said; the same words will be refused again."""

    code = "content_refused"


class AttachmentRefused(Invalid):
    """A file that this wire format does not take."""

    code = "attachment_refused"


class RateLimited(ProviderDown):
    """Too much was asked of this key in too little time."""

    code = "rate_limited"


class Overloaded(ProviderDown):
    """The provider has more to do than it can, whoever asks."""

    code = "provider_overloaded"


class TimedOut(ProviderDown):
    """No answer, or no more of it, in the time a wait allows."""

    code = "provider_timeout"


class Unreachable(ProviderDown):
    """No connection could be made, so no byte of the request was sent."""

    code = "provider_unreachable"


class NoModelServer(ProviderDown):
    """Who answers at this address serves no model, or none of this format; `page` where it is a text for people."""

    code = "no_model_server"

    def __init__(self, message: str, *, remedy: str, page: bool, status: int = HTTPStatus.OK) -> None:
        super().__init__(message, remedy=remedy, status=status, kind="malformed")
        self.page = page


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars for a million tokens; `request_micro_usd` is for each request, whatever its size."""

    input_micro_usd: int = 0
    output_micro_usd: int = 0
    cached_micro_usd: int = 0
    """Of prompt tokens read from the provider's cache."""
    written_micro_usd: int | None = None
    """Of prompt tokens written to it; None where that costs what input costs."""
    request_micro_usd: int = 0
    tiers: tuple[tuple[int, Price], ...] = ()
    """(tokens, price), rising: a prompt of more tokens than that pays this price for everything."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a request may be silent: to connect, until the first byte, between two chunks."""

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """A model server that answers on this machine, and the models it offers."""

    name: str
    base_url: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One configured provider. `kind` names the adapter; the key itself is never in here."""

    name: str
    kind: str
    base_url: str = ""
    key_env: str = ""
    """Name of the environment variable that holds the key; empty for a server that wants none."""
    model: str = ""
    """Used where a request names none."""
    price: Price | None = None
    waits: Waits = Waits()


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

        Raises: ProviderDown (with `retry_after_s` where the provider said so), as Unreachable where it
        is certain that nothing was sent; Invalid (the request cannot be served), as KeyRefused,
        ModelUnknown, ContextOverflow or QuotaSpent where that is why; DeadlinePassed
        (`request.deadline_s` is over).
        """
        ...

    async def aclose(self) -> None: ...
