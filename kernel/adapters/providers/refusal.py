"""Which error a refusal is, wherever it stands: a response or inside a stream.

Guarantees: the status decides, then the error's own fields, and its words only where neither says
anything. A kind that nobody knows is ProviderDown inside a stream, Invalid as a response of 4xx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from kernel.adapters.providers.form import words_of
from kernel.adapters.providers.network import base_url_of
from kernel.clock import SystemClock
from kernel.errors import Invalid, OxiosError, ProviderDown
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
)

MESSAGE_CHARS_MAX: Final = 500
_RETRY_AFTER_S_MAX: Final = 3_600.0

_Kind: TypeAlias = Literal["overflow", "quota", "key", "model", "content", "rate", "overloaded", "down", "bad"]

_CODES: Final[dict[str, _Kind]] = {
    "context_length_exceeded": "overflow",
    "exceed_context_size_error": "overflow",
    "request_too_large": "overflow",
    "string_above_max_length": "overflow",
    "insufficient_quota": "quota",
    "billing_error": "quota",
    "billing_hard_limit_reached": "quota",
    "insufficient_credits": "quota",
    "invalid_api_key": "key",
    "authentication_error": "key",
    "permission_error": "key",
    "permission_denied": "key",
    "unauthenticated": "key",
    "account_deactivated": "key",
    "model_not_found": "model",
    "not_found_error": "model",
    "content_policy_violation": "content",
    "content_filter": "content",
    "rate_limit_error": "rate",
    "rate_limit_exceeded": "rate",
    "resource_exhausted": "rate",
    "too_many_requests": "rate",
    "overloaded_error": "overloaded",
    "server_overloaded": "overloaded",
    "api_error": "down",
    "timeout_error": "down",
    "server_error": "down",
    "service_unavailable": "down",
    "unavailable": "down",
}
"""What a `code`, `type` or `status` field of an error says, lower-cased. Source: the API references of
OpenAI, Anthropic, Google and llama.cpp."""

# Several servers tell these by their words alone (Anthropic's overflow and empty balance, vLLM's overflow,
# Ollama's missing model), so the words are read where no field said anything.
_WORDS: Final[tuple[tuple[_Kind, re.Pattern[str]], ...]] = (
    (
        "overflow",
        re.compile(
            r"context[ _](?:length|window|size)|maximum context|too many tokens|prompt is too long"
            r"|(?:input|request) too large|exceeds? the (?:available|maximum) (?:context|number of tokens)"
            r"|max_prompt_tokens|reduce the length",
            re.IGNORECASE,
        ),
    ),
    ("quota", re.compile(r"exceeded your current quota|credit balance is too low", re.IGNORECASE)),
    ("key", re.compile(r"incorrect api key|invalid (?:x-)?api[- ]key", re.IGNORECASE)),
    ("model", re.compile(r"model .{0,80}(?:does not exist|not found)", re.IGNORECASE)),
    ("rate", re.compile(r"rate.?limit|too many requests", re.IGNORECASE)),
    ("overloaded", re.compile(r"overloaded", re.IGNORECASE)),
)
_BY_STATUS: Final[dict[int, _Kind]] = {
    HTTPStatus.UNAUTHORIZED: "key",
    HTTPStatus.FORBIDDEN: "key",
    HTTPStatus.NOT_FOUND: "model",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "overflow",
    HTTPStatus.PAYMENT_REQUIRED: "quota",
}
_OVERLOADED: Final = 529
_STATUS_MAX: Final = 599
_LATER: Final = "try again later"
_DELAY: Final = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d{1,9})?)s"')
"""The field of Google's RetryInfo, which stands in place of a header."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, for the words of an error."""

    provider: str
    url: str
    model: str
    key_env: str
    keyed: bool = False
    """Whether a key was sent."""


def refusal(asked: Asked, status: int, body: bytes, headers: Mapping[str, str]) -> OxiosError:
    """The error that a response with this status is; `status` is never 200."""
    detail, codes = _read(body)
    said = f"{asked.provider} answered {status}" + (f": {detail}" if detail else "")
    wait_s = retry_after_s(headers)
    if wait_s is None and (delay := _DELAY.search(body)):
        wait_s = min(float(delay[1]), _RETRY_AFTER_S_MAX)
    told = _kind(detail, codes)
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _quota_spent(said) if told == "quota" else _rate_limited(said, wait_s, status)
        case HTTPStatus.REQUEST_TIMEOUT:
            return TimedOut(said, remedy=_LATER, retry_after_s=wait_s, status=status, kind="timeout")
        case _ if status == _OVERLOADED:
            return Overloaded(said, remedy=_LATER, retry_after_s=wait_s, status=status, kind="overloaded")
        case _ if status == HTTPStatus.TOO_EARLY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ProviderDown(said, remedy=_LATER, retry_after_s=wait_s, status=status, kind="server")
        case _ if status < HTTPStatus.MULTIPLE_CHOICES:
            remedy = f"check {base_url_of(asked.provider)}: a model server answers 200 with a reply"
            return NoModelServer(f"{said}, and no reply", remedy=remedy, page=True, status=status)
        case _ if status < HTTPStatus.BAD_REQUEST:
            remedy = f"set {base_url_of(asked.provider)} to where it moved; a key is never sent after a redirect"
            return Invalid(said, remedy=remedy)
        case _:
            return _of_kind(asked, said, _BY_STATUS.get(status) or told or "bad")


def refusal_in_stream(asked: Asked, error: object) -> OxiosError:
    """The error that an `error` object among the events of a stream is."""
    fields = cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": str(error)}
    status = fields.get("status") or fields.get("code")
    if isinstance(status, int) and HTTPStatus.BAD_REQUEST <= status <= _STATUS_MAX:
        return refusal(asked, status, json.dumps({"error": fields}).encode(), {})
    detail, codes = _fields(fields)
    said = f"{asked.provider} broke off: {detail or ' '.join(codes) or 'no reason given'}"
    found = _kind(detail, codes) or ("bad" if "invalid_request_error" in codes else "down")
    return _of_kind(asked, said, found)


def _kind(detail: str, codes: tuple[str, ...]) -> _Kind | None:
    """What the fields say; else what the words do."""
    for code in codes:
        if code in _CODES:
            return _CODES[code]
    for kind, words in _WORDS:
        if words.search(detail):
            return kind
    return None


def _of_kind(asked: Asked, said: str, kind: _Kind) -> OxiosError:
    match kind:
        case "overflow":
            return _too_long(said)
        case "quota":
            return _quota_spent(said)
        case "key":
            return _key_refused(asked, said)
        case "model":
            return _model_unknown(asked, said)
        case "rate":
            return _rate_limited(said, None, 0)
        case "content":
            return ContentRefused(said, remedy="say it in other words, or use another model")
        case "overloaded":
            return Overloaded(said, remedy=_LATER, kind="overloaded")
        case "down":
            return ProviderDown(said, remedy=_LATER, kind="server")
        case "bad":
            remedy = "the request is at fault, so the same one will fail again; see what the provider says"
            return Invalid(said, remedy=remedy)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After`, at most an hour; None where not said.

    A date is taken relative to the response's own Date, so the two machines' clocks need not agree; where
    it has none, relative to this machine's.
    """
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif (text := headers.get("retry-after", "").strip()).replace(".", "", 1).isdigit():
            seconds = float(text)
        elif text:
            now_s = parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else _now_s()
            seconds = parsedate_to_datetime(text).timestamp() - now_s
        else:
            return None
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _RETRY_AFTER_S_MAX) if seconds == seconds else None  # noqa: PLR0124 -- not NaN


def _now_s() -> float:
    return SystemClock().now_us() / 1_000_000


def _rate_limited(said: str, wait_s: float | None, status: int) -> RateLimited:
    remedy = "wait, or use another key or model"
    return RateLimited(said, remedy=remedy, retry_after_s=wait_s, status=status, kind="rate_limit")


def _quota_spent(said: str) -> QuotaSpent:
    return QuotaSpent(said, remedy="top up the account behind the key, or use another model")


def _key_refused(asked: Asked, said: str) -> KeyRefused:
    if asked.key_env:
        return KeyRefused(said, remedy=f"check the key in the environment variable {asked.key_env}")
    if asked.keyed:
        return KeyRefused(said, remedy="check its key: `oxios models key list` says where it comes from")
    name = asked.provider
    remedy = f"name the variable that holds its key: providers.{name}.key_env, or `oxios models key set {name}`"
    return KeyRefused(said, remedy=remedy)


def _model_unknown(asked: Asked, said: str) -> ModelUnknown:
    remedy = f"check the model name {asked.model!r} and the address {asked.url}"
    parts = urlsplit(asked.url)
    if parts.path == "/chat/completions":  # Nearly every server has a version there.
        remedy += f"; most servers want {base_url_of(asked.provider)} to be {parts.scheme}://{parts.netloc}/v1"
    return ModelUnknown(said, remedy=remedy)


def _too_long(said: str) -> ContextOverflow:
    return ContextOverflow(said, remedy="shorten the conversation, or use a model that takes more")


def _read(body: bytes) -> tuple[str, tuple[str, ...]]:
    """Message and codes of an error body, whatever its shape."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return shown(body), ()
    if isinstance(value, list) and value:  # Gemini's compatible endpoint wraps its error in a list.
        value = cast("list[Any]", value)[0]
    if not isinstance(value, dict):
        return _short(str(cast("object", value))), ()
    fields = cast("dict[str, Any]", value)
    inner = fields.get("error", fields)
    return _fields(cast("dict[str, Any]", inner)) if isinstance(inner, dict) else (_short(str(inner)), ())


def _fields(error: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    message = error.get("message") or error.get("detail") or ""
    codes = tuple(str(error[key]).lower() for key in ("code", "type", "status") if error.get(key))
    return _short(message if isinstance(message, str) else json.dumps(message)), codes


def shown(body: bytes) -> str:
    """A body that is no error of a known form, in a line for a person."""
    return _short(words_of(body.decode(errors="replace")))


def _short(text: str) -> str:
    line = " ".join(text.split()).removesuffix(".")  # What to do follows as a sentence of its own.
    return line if len(line) <= MESSAGE_CHARS_MAX else line[: MESSAGE_CHARS_MAX - 1] + "…"
