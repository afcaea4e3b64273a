"""Canonical bytes: RFC 8785 JSON, of payloads and of entry headers.

Guarantees: equal JSON values have equal bytes, whatever order or type of mapping they came in; the
fast path (pydantic-core) is taken only where its output is provably the canonical one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, TypeAlias, cast

from pydantic_core import to_json

from kernel.errors import Invalid
from kernel.jsontypes import JsonObject, JsonValue

INTEGER_MAX: Final = 2**53 - 1
DIGEST_BYTES: Final = 32

Header: TypeAlias = tuple[int, int, str, str, str, bytes, bytes | None]
"""seq, time_us, principal, stream, kind, payload digest, digests of the blobs joined (or None)."""

# pydantic-core writes texts, integers and their containers as RFC 8785 does, but for three things: integers
# beyond 2^53, the order of keys, and lone surrogates, which it refuses. So keys are put in order here, by
# code points, which differ from UTF-16 units only from U+D800 on.
_AS_IT_IS: Final = frozenset({str, bool, type(None)})
_DOUBTFUL: Final = re.compile(rb"\xed[\xa0-\xbf]|[\xee-\xf4]")


def canonical(value: JsonObject) -> bytes:
    """The RFC 8785 bytes of an object.

    Keys are strings, as the type says; that alone is not checked on the fast path.

    Raises: Invalid, for NaN, infinities, integers beyond ±(2^53 - 1), lone surrogates, cycles, and
    what is no JSON at all.
    """
    try:
        encoded = to_json(_ordered(value))
        if encoded.isascii() or _DOUBTFUL.search(encoded) is None:
            return encoded
    except (AttributeError, TypeError, ValueError, RecursionError):
        pass  # The exact path finds out what is wrong, or encodes what the fast one cannot.
    return exact(value)


def _ordered(value: Mapping[Any, Any]) -> dict[str, Any]:
    """The object with its keys in order. Raises: TypeError, where a value is not of the plain types."""
    found: dict[str, Any] = {}
    for key in sorted(value):
        item = value[key]
        found[key] = item if type(item) in _AS_IT_IS else _plain(item)
    return found


def _plain(value: Any) -> Any:
    """The value, where it is of the very types that are written canonically. Raises: TypeError."""
    kind = value.__class__
    if kind in _AS_IT_IS or (kind is int and -INTEGER_MAX <= value <= INTEGER_MAX):
        return value
    if kind is dict:
        return _ordered(value)
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    raise TypeError(f"a {kind.__name__} is written by the rules")


def exact(value: JsonValue) -> bytes:
    """The same, by the rules one after the other: the definition that the fast path is tested on."""
    parts: list[str] = []
    try:
        _write(value, parts)
        return "".join(parts).encode()
    except UnicodeEncodeError as error:
        raise Invalid(
            "a text holds half a surrogate pair, which no UTF-8 can carry",
            remedy="decode it with errors='replace' before it is recorded",
        ) from error
    except RecursionError as error:
        raise Invalid("a value is nested too deeply to be recorded", remedy="flatten it, or cut the cycle") from error


def header_bytes(header: Header) -> bytes:
    """The canonical bytes of an entry's header: what its leaf hash covers.

    The payload stands in it by digest, and so do the blobs, where there are any.
    """
    seq, time_us, principal, stream, kind, digest, blobs = header
    named = "" if blobs is None else '"blobs":[' + ",".join(f'"{name.hex()}"' for name in split(blobs)) + "],"
    return (
        f'{{{named}"digest":"{digest.hex()}","kind":{_quoted(kind)},"principal":{_quoted(principal)},'
        f'"seq":{seq},"stream":{_quoted(stream)},"time_us":{time_us}}}'
    ).encode()


def split(blobs: bytes) -> list[bytes]:
    """The digests that were joined."""
    return [blobs[start : start + 32] for start in range(0, len(blobs), 32)]


def digest_of(content: bytes) -> bytes:
    return sha256(content).digest()


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _write(value: JsonValue, parts: list[str]) -> None:
    if value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, str):
        parts.append(json.dumps(value, ensure_ascii=False))
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, float):
        parts.append(_float(value))
    elif isinstance(value, Mapping):
        _write_object(value, parts)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(cast("Sequence[JsonValue]", value)):
            parts.append("," if number else "[")
            _write(item, parts)
        parts.append("]" if value else "[]")
    else:
        raise Invalid(f"a {type(value).__name__} is no JSON value", remedy="record texts, numbers, lists and objects")


def _write_object(value: JsonObject, parts: list[str]) -> None:
    for key in value:
        if not isinstance(cast("object", key), str):
            raise Invalid(f"the key {key!r} is no text", remedy="JSON objects have texts as keys")
    before = "{"
    for key in sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass")):
        parts.append(f"{before}{json.dumps(key, ensure_ascii=False)}:")
        _write(value[key], parts)
        before = ","
    parts.append("}" if value else "{}")


def _integer(value: int) -> str:
    if abs(value) > INTEGER_MAX:
        raise Invalid(
            f"the integer {value} is beyond 2^53 - 1, where JSON readers disagree",
            remedy="record it as a text",
        )
    return int.__repr__(value)


def _float(value: float) -> str:
    """As ECMAScript prints a Number. Source: RFC 8785, 3.2.2.3; ECMA-262, Number::toString."""
    if not math.isfinite(value):
        raise Invalid(f"{value} is no JSON number", remedy="record null, or a text")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)
    minus = "-" if sign else ""
    if len(text) <= point <= 21:  # noqa: PLR2004 -- ECMA-262's own bound
        return minus + text + "0" * (point - len(text))
    if 0 < point <= 21:  # noqa: PLR2004 -- the same
        return f"{minus}{text[:point]}.{text[point:]}"
    if -6 < point <= 0:  # noqa: PLR2004 -- the same
        return f"{minus}0.{'0' * -point}{text}"
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{minus}{text[0]}{fraction}e{point - 1:+d}"
