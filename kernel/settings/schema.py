"""Every setting described: as JSON Schema of a config.toml, and as rows for a person.

Guarantees: both come from the declarations in `kernel.settings.tree`, so neither can lag behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from kernel.jsontypes import JsonObject, JsonValue
from kernel.settings.load import SPECS
from kernel.settings.spec import STAR, Spec


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting; `default` as it would stand in TOML."""

    key: str
    default: JsonValue
    allowed: str
    project: str
    doc: str


def rows() -> tuple[SettingRow, ...]:
    return tuple(SettingRow(spec.key, _default(spec), spec.kind.allowed, spec.policy.says, spec.doc) for spec in SPECS)


def json_schema() -> JsonObject:
    """JSON Schema 2020-12; `x-project` says what a project file may do with a setting."""
    root: dict[str, JsonValue] = _table()
    root |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Oxios configuration"}
    for spec in SPECS:
        _place(root, spec)
    return root


def _place(root: dict[str, JsonValue], spec: Spec) -> None:
    parts = spec.key.split(".")
    here = root
    for part in parts[:-1]:
        here = _child(here, part, spec, _table())
    leaf: dict[str, JsonValue] = dict(spec.kind.schema())
    leaf |= {"description": spec.doc, "x-project": spec.policy.says}
    if parts[-1] != STAR:
        leaf["default"] = _default(spec)
    _child(here, parts[-1], spec, leaf)


def _child(here: dict[str, JsonValue], part: str, spec: Spec, new: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The part's schema: a property, or for a chosen name the pattern's."""
    group, name = ("patternProperties", f"^(?:{spec.name_pattern})$") if part == STAR else ("properties", part)
    children = cast("dict[str, dict[str, JsonValue]]", here.setdefault(group, {}))
    return children.setdefault(name, new)


def _table() -> dict[str, JsonValue]:
    return {"type": "object", "additionalProperties": False}


def _default(spec: Spec) -> JsonValue:
    if isinstance(spec.default, tuple):
        return list(spec.default)
    return "none" if spec.default is None and STAR not in spec.key else spec.default
