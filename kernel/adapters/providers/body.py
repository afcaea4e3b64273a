"""A request's body: JSON in bytes, joined from parts that were encoded before.

Guarantees: no text makes a body that cannot be written or that a strict parser refuses.
"""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn, cast

from pydantic_core import to_json

PIECE_BYTES: Final = 64 * 1024
NAME_CHARS_MAX: Final = 64
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")


def dump(value: object) -> bytes:
    try:
        return to_json(value)
    except ValueError:
        # A lone surrogate has no UTF-8 form; a replacement character is better than a run that ends.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def in_pieces(parts: list[bytes], between: bytes) -> list[bytes]:
    """`parts` with `between` between, in pieces of about `PIECE_BYTES`.

    One block of 200 kB for every round would be fresh memory from the system each time, which costs
    five times what filling it does.
    """
    step = max(1, len(parts) * PIECE_BYTES // max(1, sum(map(len, parts))))
    last = (len(parts) - 1) // step * step
    found = [between.join([*parts[start : start + step], b""]) for start in range(0, last, step)]
    found.append(between.join(parts[last:]))
    return found


def sendable_name(name: str) -> str:
    """The name of a tool that a model made up, in letters that a provider takes back."""
    return _NO_NAME.sub("_", name)[:NAME_CHARS_MAX] or "unknown"


def object_text(arguments: str) -> str:
    """`arguments` where they are a JSON object, else an object that quotes them.

    Servers that parse what a model once wrote would refuse the whole conversation because of it.
    """
    try:
        value = cast("object", json.loads(arguments, parse_constant=_no_number))
        if isinstance(value, dict):
            # An escaped half of a surrogate pair is no JSON to a strict parser.
            return json.dumps(value, ensure_ascii=False) if "\\ud" in arguments.lower() else arguments
    except (ValueError, RecursionError):
        pass
    return json.dumps({"malformed": arguments}, ensure_ascii=False)


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
