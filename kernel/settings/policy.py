"""What a project file may do to a setting: it comes with a checkout, so it may only tighten.

Guarantees: for each policy, the merged value allows at most what the base value allowed, or
`Loosens` is raised. Layers of the operator (system, user, environment, flags) replace values and
do not come here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from kernel.settings.kinds import Value, shown


class Loosens(Exception):
    """`what` the project file tried, and what would be `allowed` here."""

    def __init__(self, what: str, allowed: str) -> None:
        super().__init__(what)
        self.what = what
        self.allowed = allowed


class Policy(Protocol):
    """How a project's value meets the value below it."""

    @property
    def says(self) -> str:
        """For a person, and for the schema."""
        ...

    def merge(self, base: Value, new: Value) -> Value:
        """Raises: Loosens."""
        ...


@dataclass(frozen=True, slots=True)
class Free:
    """Confers nothing: a project may set it."""

    says: str = "a project file may set it"

    def merge(self, base: Value, new: Value) -> Value:  # noqa: ARG002 -- the port's shape
        return new


@dataclass(frozen=True, slots=True)
class Operator:
    """Only the operator: it decides where prompts, keys or records go."""

    says: str = "a project file may not set it"

    def merge(self, base: Value, new: Value) -> Value:  # noqa: ARG002 -- the port's shape
        raise Loosens(
            "a project file may not set this: it decides where prompts, keys, records or requests go",
            "nothing here; set it in the home's config.toml, by OXIOS__…, or with --set",
        )


@dataclass(frozen=True, slots=True)
class Stricter:
    """Words in order, the strictest last; a value that is not set counts as `unset`, or as loosest."""

    order: tuple[str, ...]
    unset: str = ""

    @property
    def says(self) -> str:
        return f"a project file may only move it towards {self.order[-1]!r} ({' < '.join(self.order)})"

    def merge(self, base: Value, new: Value) -> Value:
        floor = self.order.index(str(base) if base is not None else (self.unset or self.order[0]))
        if self.order.index(str(new)) < floor:
            was = f"{shown(base)} to " if base is not None else ""
            raise Loosens(
                f"a project file may only tighten, and this goes from {was}{shown(new)}"
                if was
                else f"a project file may only tighten, and {shown(new)} may be looser than the default",
                ", ".join(f'"{word}"' for word in self.order[floor:]),
            )
        return new


@dataclass(frozen=True, slots=True)
class Lower:
    """A bound: a smaller number is stricter, and None is no bound at all."""

    says: str = "a project file may only lower it"

    def merge(self, base: Value, new: Value) -> Value:
        if base is None:
            return new
        top = cast("float", base)
        if new is None or cast("float", new) > top:
            raise Loosens(
                f"a project file may only lower a bound, and this raises it from {top:g}", f"at most {top:.15g}"
            )
        return new


@dataclass(frozen=True, slots=True)
class Subset:
    """A list of what is allowed: a project may leave items out, never put one in."""

    says: str = "a project file may only leave items out"

    def merge(self, base: Value, new: Value) -> Value:
        have, want = _items(base), _items(new)
        extra = [item for item in want if item not in have]
        if extra:
            raise Loosens(
                f"a project file may only leave items out, and {', '.join(map(shown, extra))} was not allowed before",
                f"a list of {', '.join(map(shown, have))}" if have else "an empty list",
            )
        return want


@dataclass(frozen=True, slots=True)
class Union:
    """A list of what is denied: a project may add items; those below stay."""

    says: str = "a project file may only add items"

    def merge(self, base: Value, new: Value) -> Value:
        return tuple(dict.fromkeys(_items(base) + _items(new)))


def _items(value: Value) -> tuple[str, ...]:
    return cast("tuple[str, ...]", value or ())
