"""The settings as a form: fields from their declarations, and from what was typed to what is to change.

Guarantees: a field is what `kernel.settings` declares, no more; what is typed is read by the field's own kind,
and only what differs from the layers as they are becomes a change. A value that may be a key pasted into the
wrong place is never shown again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kernel.jsontypes import JsonObject
from kernel.settings.kinds import NONE_WORD, Flag, Kind, Number, Text, Texts, Value, Word, Wrong
from kernel.settings.live import is_live
from kernel.settings.load import SPECS, Resolved, path_of, spec_of
from kernel.settings.source import Origin
from kernel.settings.spec import STAR, Spec

LOCKING: Final = ("environment", "flag")
"""Layers above the home's file: what they set, the file cannot change."""
_LAYERS: Final = {"system": "the system's file", "user": "your file", "environment": "environment", "flag": "flag"}


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as a form has it. `locked` says who sets it above the file; `pending` that it waits for a restart."""

    key: str
    label: str
    type: str
    value: str | bool
    help: str
    source: str
    choices: tuple[tuple[str, str], ...] = ()
    fault: str = ""
    locked: str = ""
    live: bool = False
    pending: bool = False
    in_file: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A table of settings; `adds` are the patterns of names that may be added to it."""

    name: str
    fields: tuple[Field, ...]
    adds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Typed:
    """What a person sent: texts by key, and what was wrong with some."""

    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    faults: Mapping[str, str] = field(default_factory=dict[str, str])


def sections(
    resolved: Resolved, pending: JsonObject, typed: Typed, *, words: str = "", added: str = ""
) -> tuple[Section, ...]:
    """In the order of the tree; `words` keeps fields that have each of them, `added` is a name that is to be new."""
    wanted = words.casefold().split()
    grouped: dict[str, list[Field]] = {}
    adds: dict[str, dict[str, None]] = {}
    for key, spec in _keys(resolved, added):
        shown = _field(key, spec, resolved, pending, typed)
        if all(word in f"{key} {spec.doc}".casefold() for word in wanted):
            grouped.setdefault(key.partition(".")[0], []).append(shown)
    for spec in SPECS:
        if STAR in spec.key:
            adds.setdefault(spec.key.partition(".")[0], {})[spec.key.partition(f".{STAR}")[0]] = None
    names = dict.fromkeys(spec.key.partition(".")[0] for spec in SPECS)
    return tuple(
        Section(name, tuple(grouped.get(name, ())), () if wanted else tuple(adds.get(name, ())))
        for name in names
        if grouped.get(name) or (not wanted and name in adds)
    )


def addable(text: str) -> bool:
    """Whether `TABLE.NAME` names something that may be added."""
    return any(_starts(spec, text) for spec in SPECS if STAR in spec.key)


def changes_of(
    resolved: Resolved, form: Mapping[str, str], shown: Iterable[str]
) -> tuple[dict[str, str | None], Typed]:
    """The keys of `shown` whose typed value is another than now; and what was typed, with its faults."""
    changes: dict[str, str | None] = {}
    texts: dict[str, str] = {}
    faults: dict[str, str] = {}
    for key in shown:
        spec = spec_of(path_of(key))
        if spec is None or _locked(resolved.origins.get(key)):
            continue
        text = _text(spec.kind, form.get(key))
        if text is None:
            continue
        texts[key] = text
        try:
            value = spec.kind.read_text(text)
        except Wrong as wrong:
            faults[key] = f"{wrong.what}; allowed: {spec.kind.allowed}"
            continue
        if STAR in spec.key and key not in resolved.values and (text == "" or value == spec.default):
            continue
        if value != resolved.values.get(key, spec.default):
            changes[key] = text
    return changes, Typed(texts, faults)


def told(problems: Sequence[str], typed: Typed) -> tuple[Typed, tuple[str, ...]]:
    """Problems as faults of the fields they name; and those that name none that is shown."""
    faults = dict(typed.faults)
    rest: list[str] = []
    for problem in problems:
        key = next((key for key in typed.texts if re.search(rf"(?:^|: ){re.escape(key)}: ", problem)), "")
        if key:
            faults[key] = problem.partition(f"{key}: ")[2]
        else:
            rest.append(problem)
    return Typed(typed.texts, faults), tuple(rest)


def source_of(origin: Origin | None) -> str:
    """In words, as `oxios config get --origin` has it."""
    if origin is None:
        return "default"
    word = _LAYERS.get(origin.layer, origin.layer)
    if origin.layer == "user":
        return f"{word}, line {origin.line}" if origin.line else word
    return f"{word}: {origin}"


def _keys(resolved: Resolved, added: str) -> Iterable[tuple[str, Spec]]:
    names: dict[str, list[tuple[str, Spec]]] = {}
    for spec in SPECS:
        if STAR not in spec.key:
            yield spec.key, spec
            continue
        head = spec.key.partition(f".{STAR}")[0]
        for name in _names(resolved, head, added):
            names.setdefault(f"{head}.{name}", []).append((spec.key.replace(STAR, name, 1), spec))
    for fields in names.values():
        yield from fields


def _names(resolved: Resolved, head: str, added: str) -> list[str]:
    """The names under a table, in order; with the one that is to be new."""
    found: dict[str, None] = {}
    for key in resolved.values:
        if key.startswith(f"{head}."):
            path = path_of(key)
            found[path[head.count(".") + 1]] = None
    if added.startswith(f"{head}."):
        found[added[len(head) + 1 :]] = None
    return list(found)


def _starts(spec: Spec, text: str) -> bool:
    head = spec.key.partition(f".{STAR}")[0]
    return text.startswith(f"{head}.") and bool(re.fullmatch(spec.name_pattern, text[len(head) + 1 :]))


def _field(key: str, spec: Spec, resolved: Resolved, pending: JsonObject, typed: Typed) -> Field:
    value, origin = resolved.values.get(key, spec.default), resolved.origins.get(key)
    fault = typed.faults.get(key, "")
    shown = _shown(spec.kind, value)
    if key in typed.texts and not (fault and isinstance(spec.kind, Text) and not spec.kind.quoted):
        shown = _again(spec.kind, typed.texts[key])
    locked = _locked(origin)
    return Field(
        key,
        key.partition(".")[2].replace("_", " "),
        _type(spec.kind),
        shown,
        f"{spec.doc} Allowed: {spec.kind.allowed}.",
        source_of(origin),
        tuple((word, word or "(none)") for word in spec.kind.choices) if isinstance(spec.kind, Word) else (),
        fault,
        locked,
        live=is_live(key),
        pending=key in pending,
        in_file=origin is not None and origin.layer == "user" and not locked,
    )


def _locked(origin: Origin | None) -> str:
    if origin is None or origin.layer not in LOCKING:
        return ""
    return f"set by {origin}, which comes after the file: change it there"


def _type(kind: Kind) -> str:
    match kind:
        case Flag():
            return "switch"
        case Word():
            return "select"
        case Texts():
            return "textarea"
        case Number(optional=False):
            return "number"
        case _:
            return "text"


def _shown(kind: Kind, value: Value) -> str | bool:
    if isinstance(kind, Flag):
        return bool(value)
    if isinstance(value, tuple):
        return "\n".join(value)
    if value is None:
        return NONE_WORD if isinstance(kind, Number) else ""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _again(kind: Kind, text: str) -> str | bool:
    """What was typed, as the form has it."""
    if isinstance(kind, Flag):
        return text == "true"
    return "\n".join(json.loads(text)) if isinstance(kind, Texts) else text


def _text(kind: Kind, typed: str | None) -> str | None:
    """As the kind reads it; None where the form had no such field."""
    if isinstance(kind, Flag):
        return "true" if typed is not None else "false"
    if typed is None:
        return None
    if isinstance(kind, Texts):
        return json.dumps([line.strip() for line in typed.splitlines() if line.strip()])
    return typed.strip()
