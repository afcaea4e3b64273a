"""Settings as flat JSON: for `oxios config get`, and for the journal's entry of a change.

Guarantees: every setting in force is there under its dotted key, and none holds a secret (keys are
named by environment variable only). `changed(record(a), record(b))` is empty exactly if a and b are
the same but for their home.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import cast

from kernel.jsontypes import JsonObject, JsonValue
from kernel.settings.tree import Settings


def record(settings: Settings) -> dict[str, JsonValue]:
    """Dotted key to value, in the order of the tree; without the home, which is no setting."""
    return {key: value for key, value in _walk("", settings) if key != "home"}


def key_names(settings: Settings) -> tuple[str, ...]:
    """The environment variables that the settings name as keys: their values are secrets."""
    providers = (name for one in settings.providers.values() for name in (one.key_env, *one.keys))
    names = (*providers, settings.search.key_env)
    return tuple(dict.fromkeys(name for name in names if name))


def changed(before: JsonObject, after: JsonObject) -> JsonObject:
    """Key to `[before, after]` for each that differs; null stands for "not there"."""
    keys = dict.fromkeys((*before, *after))
    return {key: [before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)}


def _walk(key: str, value: object) -> Iterator[tuple[str, JsonValue]]:
    if is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _walk(_join(key, one.name), getattr(value, one.name))
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, object]", value).items():
            yield from _walk(_join(key, name), inner)
    elif isinstance(value, tuple):
        yield key, list(cast("tuple[str, ...]", value))
    else:
        yield key, str(value) if isinstance(value, Path) else cast("JsonValue", value)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
