"""The syscall table: every `Syscall` that stands in `kernel.tools` or `kernel.handle`, by name.

Guarantees: a syscall is found because its module is in one of those packages, not because a list
names it; two different syscalls of one name stop the boot. Says nothing about who may call what:
the table is the same for everyone, and the gate decides.

Source: RFC-0004.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from kernel.errors import KernelBug, NotFound
from kernel.jsontypes import JsonObject, JsonValue
from kernel.ports.provider import ToolSpec
from kernel.syscalls.declare import AnySyscall, Args, Syscall

PACKAGES: Final = ("kernel.tools", "kernel.handle")


class SyscallTable:
    """Syscalls by name. Immutable once made."""

    def __init__(self, syscalls: Iterable[AnySyscall]) -> None:
        """Raises: KernelBug, where two syscalls have one name."""
        self._by_name: dict[str, AnySyscall] = {}
        for found in syscalls:
            known = self._by_name.setdefault(found.name, found)
            if known is not found:
                raise KernelBug(f"two syscalls are named {found.name!r}")
        self._specs: dict[str, ToolSpec] = {}

    def get(self, name: str) -> AnySyscall:
        """Raises: NotFound, naming the nearest names."""
        found = self._by_name.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._by_name, n=3, cutoff=0.5)
            known = ", ".join(near or sorted(self._by_name))
            raise NotFound(
                f"there is no tool {name!r}", remedy=f"did you mean {known}?" if near else f"known are {known}"
            )
        return found

    def offered(self) -> tuple[AnySyscall, ...]:
        """What may be offered to a model, by name."""
        return tuple(found for found in self if found.offered)

    def tool_specs(self, names: Iterable[str]) -> tuple[ToolSpec, ...]:
        """The named tools as a model sees them, in order of name: equal sets give equal bytes.

        Raises: NotFound. KernelBug, where a name is of a syscall that is not offered to models.
        """
        return tuple(self._spec(self.get(name)) for name in sorted(set(names)))

    def __iter__(self) -> Iterator[AnySyscall]:
        return iter(self._by_name[name] for name in sorted(self._by_name))

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def _spec(self, found: AnySyscall) -> ToolSpec:
        if not found.offered:
            raise KernelBug(f"{found.name} is not a tool: it is not offered to models")
        spec = self._specs.get(found.name)
        if spec is None:
            spec = self._specs[found.name] = ToolSpec(found.name, found.description, args_schema(found.args))
        return spec


def discover(packages: Iterable[str] = PACKAGES) -> SyscallTable:
    """Import every module below `packages` and collect the syscalls they define.

    Raises: KernelBug, where two different syscalls have one name.
    """
    found: dict[int, AnySyscall] = {}
    for package in packages:
        for module in _modules(package):
            for value in vars(importlib.import_module(module)).values():
                if isinstance(value, Syscall):
                    # One object imported into several modules is one syscall.
                    one = cast("AnySyscall", value)
                    found[id(one)] = one
    return SyscallTable(found.values())


def _modules(package: str) -> Iterator[str]:
    root = importlib.import_module(package)
    yield package
    for info in pkgutil.walk_packages(root.__path__, prefix=f"{package}."):
        yield info.name


def args_schema(args: type[Args]) -> JsonObject:
    """The JSON Schema of an argument type, in the plain form that every model API takes.

    No titles, no `$ref`, an optional value as its own type rather than `anyOf` with null.
    """
    raw = args.model_json_schema()
    definitions = cast("dict[str, JsonValue]", raw.pop("$defs", {}))
    cleaned: dict[str, JsonValue] = _cleaned(raw, definitions, ())
    cleaned.pop("description", None)  # The tool's own description says it, to the model, once.
    cleaned.setdefault("properties", {})
    return cleaned


def _cleaned(node: Any, definitions: dict[str, JsonValue], within: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_cleaned(item, definitions, within) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    schema = cast("dict[str, Any]", node)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        if name in within:
            raise KernelBug(f"the argument type {name} contains itself: a model API cannot take it")
        merged = {**cast("dict[str, Any]", definitions[name]), **{k: v for k, v in schema.items() if k != "$ref"}}
        return _cleaned(merged, definitions, (*within, name))
    schema = _without_null(schema)
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: _cleaned(item, definitions, within) for name, item in value.items()}
        elif key != "title":
            # `default` and `enum` hold data, not schemas: a key named "title" in them stays.
            result[key] = (
                value if key in {"default", "enum", "const", "required"} else _cleaned(value, definitions, within)
            )
    return result


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`anyOf: [X, null]` becomes X, and its default of null goes: leaving it out says the same."""
    choices = schema.get("anyOf")
    if not isinstance(choices, list):
        return schema
    kept = [choice for choice in cast("list[Any]", choices) if choice != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    return {**kept[0], **rest} if len(kept) == 1 else {**rest, "anyOf": kept}
