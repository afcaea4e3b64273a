"""What pages take: forms, numbers that a person wrote, and the name of a part; and where a form leads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from litestar import MediaType, Response
from litestar.enums import RequestEncodingType
from litestar.params import Body, QueryParameter

from kernel.errors import Invalid

Part = Annotated[str, QueryParameter(name="part")]
"""Which part of a page htmx asks for."""
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
_DIGITS_MAX = 15
_SHOWN_CHARS = 40


def redirected(path: str) -> Response[str]:
    """Where a form leads: htmx and our scripts go there by this header."""
    return Response("", status_code=200, media_type=MediaType.HTML, headers={"HX-Redirect": path})


def whole(data: Mapping[str, str], name: str) -> int | None:
    """The whole number in a field; None where it is empty. Raises: Invalid, where it is none."""
    text = data.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX:
        raise Invalid(f"{name} is {text[:_SHOWN_CHARS]!r}", remedy="write a whole number, in digits")
    return int(text)


def decimal(data: Mapping[str, str], name: str) -> float | None:
    """The number in a field; None where it is empty. Raises: Invalid, where it is none, or below zero."""
    text = data.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise Invalid(f"{name} is {text[:_SHOWN_CHARS]!r}", remedy="write a number, as in 2.5")
    return number
