"""What a failed model request was, and what that means for the key, the model and the next try.

Guarantees: an error is told by its type and its fields alone; no word of a message is read. Every
class has a rule, and an error of no known type is `unknown`, which is tried again like a server's
fault but never taken for a reply.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final, Literal, TypeAlias

from kernel.errors import (
    CapabilityRevoked,
    DeadlinePassed,
    DownKind,
    Invalid,
    OxiosError,
    ProviderDown,
    Stopped,
    Unavailable,
)
from kernel.ports.provider import (
    ContentRefused,
    ContextOverflow,
    KeyRefused,
    ModelUnknown,
    NoModelServer,
    Overloaded,
    QuotaSpent,
    RateLimited,
    TimedOut,
    Unreachable,
)

_OVERLOADED_STATUS: Final = 529
"""No standard code: Anthropic and others answer it where 503 would stand."""


class FailureClass(StrEnum):
    RATE_LIMIT = "rate_limit"
    AUTH = "auth"
    BILLING = "billing"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    SERVER = "server"
    NETWORK = "network"
    MALFORMED = "malformed"
    OVERFLOW = "overflow"
    ADDRESS = "address"
    """What answers at this address serves no model."""
    MODEL_UNKNOWN = "model_unknown"
    CONTENT = "content"
    REQUEST = "request"
    """The request is at fault; the same one would fail again."""
    CANCELLED = "cancelled"
    KERNEL = "kernel"
    """Not the provider's doing: the gate, the budget or the journal refused."""
    UNKNOWN = "unknown"


Breaks: TypeAlias = Literal["failure", "alive", "nothing"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a class of failure means. Seconds."""

    key_cools_s: float = 0.0
    again: bool = False
    """The same model and key may be asked again after a short wait."""
    other_key: bool = False
    """Another key of the same model may do better."""
    other_model: bool = True
    model_at_fault: bool = True
    """Counts against the model, not the key alone: its attempts are bounded over all keys."""
    passes: bool = True
    """Waiting helps; where not, nobody waits for the key to cool."""
    breaker: Breaks = "failure"


RULES: Final[dict[FailureClass, Rule]] = {
    FailureClass.RATE_LIMIT: Rule(120.0, again=True, other_key=True, model_at_fault=False, breaker="nothing"),
    FailureClass.AUTH: Rule(300.0, other_key=True, model_at_fault=False, passes=False, breaker="nothing"),
    FailureClass.BILLING: Rule(300.0, other_key=True, model_at_fault=False, passes=False, breaker="nothing"),
    FailureClass.TIMEOUT: Rule(60.0, again=True, other_key=True),
    FailureClass.OVERLOADED: Rule(again=True),
    FailureClass.SERVER: Rule(again=True),
    FailureClass.NETWORK: Rule(again=True),
    FailureClass.MALFORMED: Rule(again=True),
    FailureClass.UNKNOWN: Rule(again=True),
    FailureClass.OVERFLOW: Rule(passes=False, breaker="alive"),
    FailureClass.ADDRESS: Rule(passes=False),
    FailureClass.MODEL_UNKNOWN: Rule(passes=False),
    FailureClass.CONTENT: Rule(other_model=False, passes=False, breaker="alive"),
    FailureClass.REQUEST: Rule(passes=False, breaker="alive"),
    FailureClass.CANCELLED: Rule(other_model=False, passes=False, breaker="nothing"),
    FailureClass.KERNEL: Rule(other_model=False, passes=False, breaker="nothing"),
}

_BY_TYPE: Final[tuple[tuple[type[BaseException], FailureClass], ...]] = (
    (RateLimited, FailureClass.RATE_LIMIT),
    (Overloaded, FailureClass.OVERLOADED),
    (TimedOut, FailureClass.TIMEOUT),
    (Unreachable, FailureClass.NETWORK),
    (NoModelServer, FailureClass.ADDRESS),
    (KeyRefused, FailureClass.AUTH),
    (QuotaSpent, FailureClass.BILLING),
    (ModelUnknown, FailureClass.MODEL_UNKNOWN),
    (ContextOverflow, FailureClass.OVERFLOW),
    (ContentRefused, FailureClass.CONTENT),
    (Invalid, FailureClass.REQUEST),
    (DeadlinePassed, FailureClass.TIMEOUT),
    (TimeoutError, FailureClass.TIMEOUT),
    (ConnectionError, FailureClass.NETWORK),
    (asyncio.CancelledError, FailureClass.CANCELLED),
    (Stopped, FailureClass.CANCELLED),
    (CapabilityRevoked, FailureClass.CANCELLED),
    (OxiosError, FailureClass.KERNEL),
)
_BY_KIND: Final[dict[DownKind, FailureClass]] = {
    "rate_limit": FailureClass.RATE_LIMIT,
    "overloaded": FailureClass.OVERLOADED,
    "server": FailureClass.SERVER,
    "timeout": FailureClass.TIMEOUT,
    "network": FailureClass.NETWORK,
    "malformed": FailureClass.MALFORMED,
}
_BY_STATUS: Final[dict[int, FailureClass]] = {
    HTTPStatus.REQUEST_TIMEOUT: FailureClass.TIMEOUT,
    HTTPStatus.TOO_EARLY: FailureClass.SERVER,
    HTTPStatus.TOO_MANY_REQUESTS: FailureClass.RATE_LIMIT,
    HTTPStatus.SERVICE_UNAVAILABLE: FailureClass.OVERLOADED,
    HTTPStatus.GATEWAY_TIMEOUT: FailureClass.TIMEOUT,
    _OVERLOADED_STATUS: FailureClass.OVERLOADED,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. `retry_after_s` is the provider's own word, None where it said nothing."""

    kind: FailureClass
    error: BaseException
    retry_after_s: float | None = None
    status: int = 0

    @property
    def rule(self) -> Rule:
        return RULES[self.kind]


def classify(error: BaseException) -> Failure:
    """What `error` was: by its type, else by the `kind` its adapter gave, else by its status."""
    if type(error) is ProviderDown:
        return Failure(_down(error), error, error.retry_after_s, error.status)
    kind = next((kind for known, kind in _BY_TYPE if isinstance(error, known)), FailureClass.UNKNOWN)
    return Failure(kind, error, error.retry_after_s if isinstance(error, Unavailable) else None)


def _down(error: ProviderDown) -> FailureClass:
    if error.kind:
        return _BY_KIND[error.kind]
    if error.status in _BY_STATUS:
        return _BY_STATUS[error.status]
    return FailureClass.SERVER if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else FailureClass.UNKNOWN
