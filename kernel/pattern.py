"""Patterns found in time linear in the text: no look-around, no back-references, no blow-up.

Guarantees: `finds` ends in time proportional to pattern times text; Python's own `re` does not
promise that and cannot be interrupted. The engine (jsonschema-rs, Rust's `regex`) is imported by
the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kernel.errors import Invalid

PATTERN_CHARS_MAX: Final = 1_000
_COMPILED_BYTES_MAX: Final = 1_000_000


def finds(pattern: str, text: str) -> bool:
    """Whether `pattern` (ECMA-262 syntax) matches anywhere in `text`.

    Raises: Invalid, where it is no such pattern.
    """
    return bool(_compiled(pattern).is_valid(text))


def matcher(pattern: str) -> Callable[[str], bool]:
    """`finds` for many texts: the pattern is compiled once.

    Raises: Invalid, where it is no such pattern.
    """
    compiled = _compiled(pattern)
    return lambda text: bool(compiled.is_valid(text))


def check_pattern(pattern: str) -> None:
    """Raises: Invalid, unless `finds` would take `pattern`."""
    _compiled(pattern)


def _compiled(pattern: str) -> Any:
    if len(pattern) > PATTERN_CHARS_MAX:
        raise Invalid(f"a pattern of {len(pattern)} characters is too long", remedy=f"at most {PATTERN_CHARS_MAX}")
    import jsonschema_rs  # noqa: PLC0415 -- only who uses a pattern pays for it

    try:
        return jsonschema_rs.validator_for(
            {"type": "string", "pattern": pattern},
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_COMPILED_BYTES_MAX),
        )
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise Invalid(
            f"/{pattern}/ is not a usable pattern",
            remedy="look-around and back-references are not supported, and brackets must be closed",
        ) from error
