"""Front matter: a YAML mapping between two `---` lines, then a body.

Guarantees: a key given twice, an alias (`*x`, which could grow without bound) and a tag are errors
with their line; nothing is dropped. yaml is imported by the first call.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from kernel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Matter:
    """`body_line` is the line of the file, from 1, on which the body begins."""

    fields: dict[str, object]
    body: str
    body_line: int


def split_matter(text: str, label: str) -> Matter:
    """A text without a first `---` line is all body. Raises: Invalid, naming `label` and the line."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return Matter({}, text, 1)
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise Invalid(f"{label}, line 1: the front matter has no end", remedy="close it with a line of ---")
    fields = _mapping("\n".join(lines[1:end]), label)
    return Matter(fields, "\n".join(lines[end + 1 :]), end + 2)


def _mapping(text: str, label: str) -> dict[str, object]:
    # Imported here and untyped: 30 ms that a TOML seed or `--help` need not pay, and no stubs.
    yaml: Any = import_module("yaml")
    try:
        _refuse_aliases(yaml, text, label)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise Invalid(f"{label}, line 2: the front matter is not a mapping", remedy="write lines of `key: value`")
        _refuse_odd_keys(yaml, node, label)
        return cast("dict[str, object]", yaml.safe_load(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context
        raise Invalid(f"{label}{_place(mark)}: {reason}", remedy="correct the YAML there") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is nested too deep"
        raise Invalid(f"{label}: the front matter is not YAML: {reason}", remedy="correct the YAML") from error


def _refuse_aliases(yaml: Any, text: str, label: str) -> None:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise Invalid(f"{label}{_place(event.start_mark)}: aliases are not allowed", remedy="write it out")


def _refuse_odd_keys(yaml: Any, node: Any, label: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_odd_keys(yaml, item, label)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        place = f"{label}{_place(key.start_mark)}"
        if key.tag != "tag:yaml.org,2002:str":
            raise Invalid(f"{place}: a key must be a text", remedy="put it in quotes")
        if key.value in seen:
            raise Invalid(f"{place}: {key.value!r} is given twice", remedy="keep one of them")
        seen.add(key.value)
        _refuse_odd_keys(yaml, value, label)


def _place(mark: Any) -> str:
    # The front matter begins on the file's second line, and marks count from 0.
    return f", line {mark.line + 2}, column {mark.column + 1}" if mark else ""
