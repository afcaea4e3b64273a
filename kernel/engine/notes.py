"""What each model said last, for whoever is told why none of them can answer.

Guarantees: every key's own refusal is told where a model has several; a key is named by its source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Notes:
    """The newest of each model, and of each key of it."""

    _said: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def say(self, model: str, text: str, key: str = "") -> None:
        """`key` is the source of the key that it was said to; empty where it holds for all of them."""
        self._said.setdefault(model, {})[key] = text

    def of(self, model: str) -> str:
        """Empty where nothing is known."""
        said = self._said.get(model, {})
        named = len(said) > 1
        return ", ".join(f"{key}: {text}" if named and key else text for key, text in said.items())

    def text(self, models: Iterable[str]) -> str:
        return "; ".join(f"{model}: {said}" for model in models if (said := self.of(model)))
