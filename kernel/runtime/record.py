"""Directive and environment as JSON, for the entry that starts a run, and back.

Guarantees: `directive_of(directive_json(d)) == d`, and the same for environments (property-tested).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from kernel.directive import AttachedFile, Budget, Directive, Entity, ExecEnv, Mount
from kernel.jsontypes import JsonObject, JsonValue


def directive_json(directive: Directive) -> JsonObject:
    return _lean(asdict(directive))


def env_json(env: ExecEnv) -> JsonObject:
    return _lean(asdict(env)) | {"mounts": [asdict(mount) for mount in env.mounts]}


def budget_json(budget: Budget) -> JsonObject:
    """Only what is bounded."""
    return {name: value for name, value in asdict(budget).items() if value is not None}


def directive_of(value: JsonValue) -> Directive:
    fields = dict(cast("dict[str, Any]", value))
    fields["entities"] = tuple(Entity(**item) for item in fields.get("entities", ()))
    fields["attached"] = tuple(AttachedFile(**item) for item in fields.get("attached", ()))
    for name in ("constraints", "criteria"):
        fields[name] = tuple(fields.get(name, ()))
    return Directive(**fields)


def env_of(value: JsonValue) -> ExecEnv:
    fields = dict(cast("dict[str, Any]", value))
    fields["mounts"] = tuple(Mount(**item) for item in fields["mounts"])
    fields["budget"] = Budget(**fields.get("budget", {}))
    return ExecEnv(**fields)


def _lean(fields: dict[str, Any]) -> dict[str, JsonValue]:
    """Leave out what is empty: the defaults put it back."""
    lean: dict[str, JsonValue] = {}
    for name, value in fields.items():
        kept = _lean(cast("dict[str, Any]", value)) if name == "budget" else value
        if kept not in (None, "", (), {}):
            lean[name] = list(cast("tuple[JsonValue, ...]", kept)) if isinstance(kept, tuple) else kept
    return lean
