"""File bytes as text for a model: what is binary, which lines, how much of it.

Guarantees: text that is shown is exactly the file's (invalid UTF-8 is said, not hidden), cut only
between lines or, in one long line, between characters, and the cut is told with how to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kernel.errors import Invalid
from kernel.limits import FILE_BYTES_MAX, MODEL_RESULT_BYTES_MAX

_SNIFF_BYTES: Final = 8192
SHOWN_BYTES_MAX: Final = MODEL_RESULT_BYTES_MAX - 512
"""What one page of a file may take, so that its closing note still reaches the model."""

_MAGIC: Final = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x7fELF", "an ELF program"),
    (b"SQLite format 3\0", "an SQLite database"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """Lines `first` to `last` (from 1) of `total`; `cut` where a line did not fit whole."""

    text: str
    first: int
    last: int
    total: int
    cut: bool

    @property
    def whole(self) -> bool:
        return self.first == 1 and self.last == self.total and not self.cut


def binary_kind(content: bytes) -> str | None:
    """What kind of binary this is, or None for text."""
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            return kind
    return "binary data" if b"\0" in content[:_SNIFF_BYTES] else None


def decode(content: bytes) -> tuple[str, bool]:
    """The text, and whether it is UTF-8 throughout (if not, broken bytes are U+FFFD)."""
    try:
        return content.decode("utf-8"), True
    except UnicodeDecodeError:
        return content.decode("utf-8", errors="replace"), False


def page_of(text: str, offset: int, limit: int, bytes_max: int = SHOWN_BYTES_MAX) -> Page:
    """At most `limit` lines from line `offset` (from 1), and at most `bytes_max` bytes of them."""
    lines = lines_of(text)
    shown: list[str] = []
    room = bytes_max
    for line in lines[offset - 1 : offset - 1 + limit]:
        size = len(line.encode("utf-8", errors="surrogatepass"))
        if size > room:
            if not shown:
                shown.append(clip_bytes(line, bytes_max))
                return Page(shown[0], offset, offset, len(lines), cut=True)
            break
        shown.append(line)
        room -= size
    return Page("".join(shown), offset, offset - 1 + len(shown), len(lines), cut=False)


def lines_of(text: str) -> list[str]:
    """Lines with their ends. Only a line feed ends one: a form feed or U+2028 moves no line number."""
    *ended, rest = text.split("\n")
    return [line + "\n" for line in ended] + ([rest] if rest else [])


def sized(count: int) -> str:
    """A number of bytes in words."""
    return "1 byte" if count == 1 else f"{count} bytes"


def clip_bytes(text: str, bytes_max: int) -> str:
    """The longest beginning of `text` that takes at most `bytes_max` bytes in UTF-8."""
    raw = text.encode("utf-8", errors="replace")
    return text if len(raw) <= bytes_max else raw[:bytes_max].decode("utf-8", errors="ignore")


def whole(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which no UTF-8 can carry."""
    return text.encode(errors="replace").decode()


def as_bytes(content: str) -> bytes:
    """Raises: Invalid, where the text is longer than a file may be."""
    raw = content.encode("utf-8")
    if len(raw) > FILE_BYTES_MAX:
        raise Invalid(f"{len(raw)} bytes are more than {FILE_BYTES_MAX}", remedy="write it in several files")
    return raw


def printable(name: str) -> str:
    """A file name on one line: control characters and broken bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)
