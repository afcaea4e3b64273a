"""Declaring a setting beside the field that holds it: kind, bounds, policy, one line of help.

    deadline_s: float = setting(120.0, Number(1, 600), Lower(), "Seconds one process may run.")

`walk` reads the declarations back as one flat table of dotted keys; a key with `*` in it stands for
names that the operator chooses (`providers.*.kind`). A field without a declaration is a KernelBug.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final, TypeVar, cast

from kernel.errors import KernelBug
from kernel.settings.kinds import Kind, Value
from kernel.settings.policy import Policy

T = TypeVar("T")

_SPEC = "oxios.spec"
_SECTION = "oxios.section"
_NAMED = "oxios.named"
_TABLE = "oxios.table"

_GIVEN: Final = "oxios.given"
GIVEN: Final = {_GIVEN: True}
"""The metadata of a field that no layer can set: the caller gives it."""

STAR = "*"


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting. `key` is dotted; `name_pattern` is what a `*` in it may be."""

    key: str
    kind: Kind
    policy: Policy
    default: Value
    doc: str
    name_pattern: str = ""

    def matches(self, path: tuple[str, ...]) -> bool:
        parts = self.key.split(".")
        return len(parts) == len(path) and all(
            part == name or (part == STAR and re.fullmatch(self.name_pattern, name))
            for part, name in zip(parts, path, strict=True)
        )


def setting(default: T, kind: Kind, policy: Policy, doc: str) -> T:
    """One value."""
    return field(default=default, metadata={_SPEC: Spec("", kind, policy, cast("Value", default), doc)})


def section(of: type[T]) -> T:
    """A table of settings."""
    return field(default_factory=of, metadata={_SECTION: of})


def named(default: T, of: type[object], name_pattern: str) -> T:
    """Tables of one shape under names the operator chooses."""
    return field(default_factory=lambda: default, metadata={_NAMED: (of, name_pattern)})


def table(default: T, kind: Kind, policy: Policy, doc: str, name_pattern: str) -> T:
    """Values of one kind under names the operator chooses."""
    spec = Spec("", kind, policy, None, doc, name_pattern)
    return field(default_factory=lambda: default, metadata={_TABLE: spec})


def walk(of: type[Any], prefix: str = "", name_pattern: str = "") -> Iterator[Spec]:
    """Every setting below a section type. Raises: KernelBug, at a field that declares nothing."""
    for one in fields(of):
        key = f"{prefix}{one.name}"
        if _GIVEN in one.metadata:
            continue
        if _SPEC in one.metadata:
            yield _keyed(one.metadata[_SPEC], key, name_pattern)
        elif _SECTION in one.metadata:
            yield from walk(one.metadata[_SECTION], f"{key}.", name_pattern)
        elif _NAMED in one.metadata:
            inner, pattern = one.metadata[_NAMED]
            yield from walk(inner, f"{key}.{STAR}.", pattern)
        elif _TABLE in one.metadata:
            spec: Spec = one.metadata[_TABLE]
            yield _keyed(spec, f"{key}.{STAR}", spec.name_pattern)
        else:
            raise KernelBug(f"the setting {key} declares neither kind nor policy")


def build(of: type[T], values: dict[str, Value], prefix: str = "", **given: object) -> T:
    """The section from flat values; a name's table has its defaults where a key is missing."""
    arguments: dict[str, object] = dict(given)
    for one in fields(cast("Any", of)):
        if one.name not in given:
            arguments[one.name] = _field_value(one, values, f"{prefix}{one.name}")
    return of(**arguments)


def _field_value(one: Field[Any], values: dict[str, Value], key: str) -> object:
    if _SPEC in one.metadata:
        return values.get(key, one.metadata[_SPEC].default)
    if _SECTION in one.metadata:
        return build(one.metadata[_SECTION], values, f"{key}.")
    rests = [have[len(key) + 1 :] for have in values if have.startswith(f"{key}.")]
    if _NAMED in one.metadata:
        names = dict.fromkeys(rest.rpartition(".")[0] for rest in rests)  # a name may have dots, a setting has none
        return {name: build(one.metadata[_NAMED][0], values, f"{key}.{name}.") for name in names}
    return {rest: values[f"{key}.{rest}"] for rest in rests}


def _keyed(spec: Spec, key: str, name_pattern: str) -> Spec:
    return Spec(key, spec.kind, spec.policy, spec.default, spec.doc, name_pattern)
