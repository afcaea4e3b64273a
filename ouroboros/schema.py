"""JSON Schema with no reach: a schema never loads another from disk or network.

Guarantees: patterns run in linear time (no look-around, no back-references), and a reference out
of the document is an error. jsonschema-rs is imported by the first call, not before.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from kernel.errors import Invalid

_FENCED: Final = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n```", re.DOTALL)
_ERRORS_MAX: Final = 5
_DETAIL_CHARS_MAX: Final = 200
_OPENINGS_MAX: Final = 32
"""Places in an answer where its object may begin that are looked at."""
_DECODER: Final = json.JSONDecoder()


def check_schema(schema: dict[str, Any]) -> None:
    """Raises: Invalid, unless `schema` is a JSON Schema that stands alone."""
    _validator(schema)


def schema_gaps(schema: dict[str, Any], value: object) -> list[str]:
    """What of `value` breaks `schema`, the first five; empty where it holds."""
    gaps: list[str] = []
    for error in _validator(schema).iter_errors(value):
        place = "".join(f"[{part!r}]" for part in error.instance_path)
        gaps.append(f"{'output' + place}: {error.message[:_DETAIL_CHARS_MAX]}")
        if len(gaps) == _ERRORS_MAX:
            break
    return gaps


def json_of(output: str) -> object:
    """The JSON an answer holds: the whole of it, or its last fenced block.

    Raises: Invalid, where there is none.
    """
    blocks = _FENCED.findall(output)
    for text in (output, *reversed(blocks)):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            continue
    raise Invalid("the output is not JSON", remedy="answer with the JSON alone, or in one ```json block")


def object_of(answer: str) -> object:
    """The JSON an answer holds, as `json_of`; else the first object in it, whatever the model says around it.

    Raises: Invalid, where there is none.
    """
    try:
        return json_of(answer)
    except Invalid:
        at = -1
        for _ in range(_OPENINGS_MAX):
            if (at := answer.find("{", at + 1)) < 0:
                break
            try:
                return _DECODER.raw_decode(answer, at)[0]
            except (ValueError, RecursionError):
                continue
        raise


def _validator(schema: dict[str, Any]) -> Any:
    import jsonschema_rs  # noqa: PLC0415 -- 30 ms that a seed without schema or pattern need not pay

    try:
        return jsonschema_rs.validator_for(
            schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions(size_limit=1_000_000)
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:_DETAIL_CHARS_MAX] if str(error) else type(error).__name__
        raise Invalid(
            f"it is no JSON Schema of its own: {reason}",
            remedy="see json-schema.org; references out of the document, look-around and "
            "back-references in patterns are not supported",
        ) from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"a schema may not load {uri}")
