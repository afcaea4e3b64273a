"""Which error a refusal is, by status and body, wherever it stands: a response or inside a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, cast

from kernel.errors import Invalid, OxiosError, ProviderDown
from kernel.ports.provider import ContextOverflow, KeyRefused, ModelUnknown, QuotaSpent

MESSAGE_CHARS_MAX: Final = 500
_RETRY_AFTER_S_MAX: Final = 3_600.0

_OVERFLOW: Final = re.compile(
    r"context[ _](?:length|window|size)|maximum context|too many tokens|prompt is too long|(?:input|request) too large"
    r"|exceeds? the (?:available|maximum) (?:context|number of tokens)|max_prompt_tokens|reduce the length",
    re.IGNORECASE,
)
_QUOTA: Final = re.compile(r"insufficient_quota|exceeded your current quota|billing|credit balance", re.IGNORECASE)
_KEY: Final = re.compile(r"invalid_api_key|authentication_error|permission_error|incorrect api key", re.IGNORECASE)
_MODEL: Final = re.compile(r"model_not_found|model .{0,80}(?:does not exist|not found)", re.IGNORECASE)
_BUSY: Final = re.compile(
    r"rate.?limit|overloaded|server_error|unavailable|timeout|try again|too many requests", re.IGNORECASE
)
_PASSING: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_STATUS_MAX: Final = 599


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, for the words of an error."""

    provider: str
    url: str
    model: str
    key_env: str


def refusal(asked: Asked, status: int, body: bytes, headers: Mapping[str, str]) -> OxiosError:
    """The error that a response with this status is; `status` is never 2xx."""
    detail, code = _read(body)
    said = f"{asked.provider} answered {status}" + (f": {detail}" if detail else "")
    words = f"{code} {detail}"
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return _key_refused(asked, said)
        case HTTPStatus.NOT_FOUND:
            return _model_unknown(asked, said)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _too_long(said)
        case HTTPStatus.PAYMENT_REQUIRED:
            return _quota_spent(said)
        case HTTPStatus.TOO_MANY_REQUESTS if _QUOTA.search(words):
            return _quota_spent(said)
        case _ if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ProviderDown(said, remedy="try again later", retry_after_s=retry_after_s(headers), status=status)
        case _ if status < HTTPStatus.BAD_REQUEST:
            remedy = f"set base_url of {asked.provider} to where it moved; a key is never sent after a redirect"
            return Invalid(said, remedy=remedy)
        case _:
            return _bad_request(asked, said, words)


def refusal_in_stream(asked: Asked, error: object) -> OxiosError:
    """The error that an `error` object among the events of a stream is."""
    fields = cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": str(error)}
    status = fields.get("status") or fields.get("code")
    if isinstance(status, int) and HTTPStatus.BAD_REQUEST <= status <= _STATUS_MAX:
        return refusal(asked, status, json.dumps({"error": fields}).encode(), {})
    detail, code = _fields(fields)
    said, words = f"{asked.provider} broke off: {detail or code or 'no reason given'}", f"{code} {detail}"
    if _OVERFLOW.search(words):
        return _too_long(said)
    if _QUOTA.search(words):
        return _quota_spent(said)
    if _KEY.search(words):
        return _key_refused(asked, said)
    if _MODEL.search(words):
        return _model_unknown(asked, said)
    if "invalid_request" in words and not _BUSY.search(words):
        return _bad_request(asked, said, words)
    return ProviderDown(said, remedy="try again later")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After`, at most an hour; None where not said.

    A date is taken relative to the response's own Date, so the two machines' clocks need not agree.
    """
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif (text := headers.get("retry-after", "").strip()).replace(".", "", 1).isdigit():
            seconds = float(text)
        elif text and "date" in headers:
            seconds = (parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds()
        else:
            return None
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _RETRY_AFTER_S_MAX) if seconds == seconds else None  # noqa: PLR0124 -- not NaN


def _bad_request(asked: Asked, said: str, words: str) -> Invalid:
    if _OVERFLOW.search(words):
        return _too_long(said)
    if _MODEL.search(words):
        return _model_unknown(asked, said)
    return Invalid(said, remedy="the request is at fault, so the same one will fail again; see what the provider says")


def _quota_spent(said: str) -> QuotaSpent:
    return QuotaSpent(said, remedy="top up the account behind the key, or use another model")


def _key_refused(asked: Asked, said: str) -> KeyRefused:
    if asked.key_env:
        return KeyRefused(said, remedy=f"check the key in the environment variable {asked.key_env}")
    return KeyRefused(said, remedy=f"name the variable that holds its key: providers.{asked.provider}.key_env")


def _model_unknown(asked: Asked, said: str) -> ModelUnknown:
    return ModelUnknown(said, remedy=f"check the model name {asked.model!r} and the address {asked.url}")


def _too_long(said: str) -> ContextOverflow:
    return ContextOverflow(said, remedy="shorten the conversation, or use a model that takes more")


def _read(body: bytes) -> tuple[str, str]:
    """Message and code of an error body, whatever its shape."""
    try:
        value = json.loads(body)
    except ValueError:
        return _short(body.decode(errors="replace")), ""
    if isinstance(value, list) and value:  # Gemini's compatible endpoint wraps its error in a list.
        value = cast("list[Any]", value)[0]
    if not isinstance(value, dict):
        return _short(str(cast("object", value))), ""
    fields = cast("dict[str, Any]", value)
    inner = fields.get("error", fields)
    return _fields(cast("dict[str, Any]", inner)) if isinstance(inner, dict) else (_short(str(inner)), "")


def _fields(error: dict[str, Any]) -> tuple[str, str]:
    message = error.get("message") or error.get("detail") or ""
    code = " ".join(str(error[key]) for key in ("code", "type") if error.get(key))
    return _short(message if isinstance(message, str) else json.dumps(message)), code


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARS_MAX else line[: MESSAGE_CHARS_MAX - 1] + "…"
