"""What the steps of a run brought that its conversation did not hold already.

Guarantees: a function of the steps and compactions alone, kept up at a constant cost a step. A step
is news where it succeeded and its tool, arguments and result together were not seen before; after a
compaction the same words are news once more, since the model may have lost them.
Does not judge whether news is progress: reading file after file is news without end.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Novelty:
    """Counts since the newest news, or since the agent was told."""

    stale_steps: int = 0
    """Steps in a row that failed, or told what was known."""
    stale_chars: int = 0
    """What these steps added to the conversation."""
    idle_compactions: int = 0
    """Compactions since a step told what was never seen in this run, those of the request under way left out."""
    _compactions: int = 0
    _fresh: set[int] = field(default_factory=set[int])
    _ever: set[int] = field(default_factory=set[int])

    def step(self, told: tuple[str, str, str], *, ok: bool, chars: int) -> None:
        """Count one finished call: its tool, arguments and result."""
        key = hash(told)
        if ok and key not in self._ever:
            self.idle_compactions = 0
            self._ever.add(key)
        if ok and key not in self._fresh:
            self._fresh.add(key)
            self.stale_steps = self.stale_chars = 0
        else:
            self.stale_steps += 1
            self.stale_chars += chars

    def compacted(self) -> None:
        """What was told before may be gone: hearing it again is news once more."""
        self._fresh.clear()
        self._compactions += 1

    def replied(self) -> None:
        """A request is over. Only now its compaction counts: what decided that it is asked must decide so again."""
        self.idle_compactions += self._compactions
        self._compactions = 0

    def told(self) -> None:
        """The agent was told that it goes in circles: count from here."""
        self.stale_steps = self.stale_chars = self.idle_compactions = 0
