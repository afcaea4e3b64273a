"""What kind of thing a response of 200 is, told by its type and its first bytes.

Guarantees: events that are called something else are still events, an object that is called events is
still an object, and a web page is never taken for a model's silence.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Form: TypeAlias = Literal["events", "object", "page"]

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
_FIELDS: Final = (b"data", b"event", b"id", b"retry", b":")
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_UNSHOWN: Final = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def form_of(content_type: str, first: bytes) -> Form:
    """`first` is what came first of the body."""
    start = first.lstrip(_BLANK)
    if start.startswith(b"<"):
        return "page"
    if start.startswith(b"{") or content_type == JSON or content_type.endswith("+json"):
        return "object"
    return "page" if "html" in content_type and not start.startswith(_FIELDS) else "events"


def words_of(text: str) -> str:
    """What a person reads of an answer: the title of a web page, or its text; anything else as it is."""
    if not text.lstrip().startswith("<"):
        return text
    title = _TITLE.search(text)
    return title[1] if title and title[1].strip() else _UNSHOWN.sub(" ", text)
