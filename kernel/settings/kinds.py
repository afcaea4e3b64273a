"""What one setting may hold, and how a TOML value or a text becomes it.

Guarantees: `read` and `read_text` return a value inside the kind's bounds or raise `Wrong`, whose
text says what was wrong and never repeats a value that may be a secret. A kind knows nothing of
files, layers or other settings.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, cast

from kernel.jsontypes import JsonObject

Value: TypeAlias = "bool | int | float | str | tuple[str, ...] | None"

NONE_WORD: Final = "none"
"""How a file or a flag lifts an optional bound: TOML has no null."""


class Wrong(Exception):
    """`what` the value is that it may not be."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Kind(Protocol):
    """The type and bounds of one setting."""

    @property
    def allowed(self) -> str:
        """For a person: what may stand here."""
        ...

    def read(self, raw: object) -> Value:
        """Raises: Wrong."""
        ...

    def read_text(self, text: str) -> Value:
        """From an environment variable or a flag. Raises: Wrong."""
        ...

    def schema(self) -> JsonObject:
        """JSON Schema of the value as it stands in TOML."""
        ...


def shown(raw: object) -> str:
    """The value as an error quotes it, at most 60 characters."""
    text = json.dumps(raw) if isinstance(raw, (str, bool)) else str(raw)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 -- the docstring states it


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    allowed: str = "true or false"

    def read(self, raw: object) -> bool:
        if not isinstance(raw, bool):
            raise Wrong(f"{shown(raw)} is not a boolean")
        return raw

    def read_text(self, text: str) -> bool:
        match text.strip().lower():
            case "true" | "1" | "yes" | "on":
                return True
            case "false" | "0" | "no" | "off":
                return False
            case _:
                raise Wrong(f"{shown(text)} is not a boolean")

    def schema(self) -> JsonObject:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high`, both included; `whole` refuses fractions, `optional` allows "none"."""

    low: float
    high: float
    whole: bool = False
    optional: bool = False

    @property
    def allowed(self) -> str:
        noun = "a whole number" if self.whole else "a number"
        return f"{noun} from {self.low:g} to {self.high:.15g}" + (' or "none"' if self.optional else "")

    def read(self, raw: object) -> int | float | None:
        if self.optional and raw == NONE_WORD:
            return None
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            raise Wrong(f"{shown(raw)} is not a number")
        if self.whole and not isinstance(raw, int):
            raise Wrong(f"{shown(raw)} is not a whole number")
        if not self.low <= raw <= self.high:  # also refuses nan
            raise Wrong(f"{shown(raw)} is out of bounds")
        return raw if self.whole else float(raw)

    def read_text(self, text: str) -> int | float | None:
        bare = text.strip()
        if self.optional and bare == NONE_WORD:
            return None
        try:
            raw = int(bare) if self.whole else float(bare)
        except ValueError:
            raise Wrong(f"{shown(text)} is not a {'whole ' if self.whole else ''}number") from None
        return self.read(raw)

    def schema(self) -> JsonObject:
        number: JsonObject = {
            "type": "integer" if self.whole else "number",
            "minimum": self.low,
            "maximum": self.high,
        }
        return {"anyOf": [number, {"const": NONE_WORD}]} if self.optional else number


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return ", ".join(json.dumps(choice) for choice in self.choices)

    def read(self, raw: object) -> str:
        if not isinstance(raw, str) or raw not in self.choices:
            raise Wrong(f"{shown(raw)} is not one of them")
        return raw

    def read_text(self, text: str) -> str:
        return self.read(text.strip())

    def schema(self) -> JsonObject:
        return {"enum": list(self.choices)}


@dataclass(frozen=True, slots=True)
class Text:
    """A text that matches `pattern` whole; `describe` says for a person what that is.

    `quoted` False keeps the value out of errors: it may be a key pasted into the wrong place.
    """

    pattern: str
    describe: str
    quoted: bool = True
    chars_max: int = 2048

    @property
    def allowed(self) -> str:
        return self.describe

    def read(self, raw: object) -> str:
        if not isinstance(raw, str):
            raise Wrong(f"{shown(raw)} is not a text" if self.quoted else "the value is not a text")
        if len(raw) > self.chars_max or not re.fullmatch(self.pattern, raw):
            raise Wrong(f"{shown(raw)} is not that" if self.quoted else "the value (not shown here) is not that")
        return raw

    def read_text(self, text: str) -> str:
        return self.read(text)

    def schema(self) -> JsonObject:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$", "maxLength": self.chars_max}


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of different texts, at most `items_max`; as text: a JSON array, or words with commas."""

    item: Text
    items_max: int = 256

    @property
    def allowed(self) -> str:
        return f"a list, each item {self.item.describe}"

    def read(self, raw: object) -> tuple[str, ...]:
        if not isinstance(raw, list):
            raise Wrong(f"{shown(raw)} is not a list")
        items = cast("list[object]", raw)
        if len(items) > self.items_max:
            raise Wrong(f"{len(items)} items are too many (at most {self.items_max})")
        return tuple(dict.fromkeys(self.item.read(item) for item in items))

    def read_text(self, text: str) -> tuple[str, ...]:
        if not text.lstrip().startswith("["):
            return self.read([part.strip() for part in text.split(",") if part.strip()])
        try:
            return self.read(json.loads(text))
        except json.JSONDecodeError:
            raise Wrong(f"{shown(text)} is not a JSON array") from None

    def schema(self) -> JsonObject:
        return {"type": "array", "items": self.item.schema(), "maxItems": self.items_max, "uniqueItems": True}
