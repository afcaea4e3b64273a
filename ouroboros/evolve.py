"""Evolve: a Seed that was not met becomes one that says what was missing.

Guarantees: a pure function. Nothing evolves that passed, that has no gaps, whose score is good
enough or whose generations are used up. The child keeps everything of its parent but the gaps of
earlier reviews, in whose place stand those of the newest; what a review saw is quoted there as
data. From generation STUCK_GENERATION on it is told that doing the same again will not help.

Source: RFC-0013.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ouroboros.seed import LIST_ITEMS_MAX, Seed
from ouroboros.verdict import Finding, Verdict

STUCK_GENERATION: Final = 2
FROM_REVIEW: Final = "From the review of generation"
"""Begins every constraint that a review made."""
_SEEN_CHARS_MAX: Final = 300
_CRITERION_CHARS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """`generations_max` counts the first."""

    generations_max: int = 3
    score_min: float = 1.0


def evolves(verdict: Verdict | None, generation: int, bounds: Bounds) -> bool:
    """Whether another generation is worth trying; `generation` is the one judged, from 0."""
    if verdict is None or verdict.passed is not False or not verdict.gaps:
        return False
    return generation + 1 < bounds.generations_max and (verdict.score or 0.0) < bounds.score_min


def evolve(seed: Seed, verdict: Verdict, now_us: int) -> Seed:
    """The next generation."""
    kept = [text for text in seed.constraints if not text.startswith(FROM_REVIEW)]
    made = [_constraint(seed.generation, finding.criterion, finding.note) for finding in _failed(verdict)]
    if seed.generation + 1 >= STUCK_GENERATION:
        made.append(
            f"{FROM_REVIEW} {seed.generation}: {seed.generation + 1} attempts did not meet this. Do not repeat "
            "what was done: look at what is really there, find the cause, and take another way."
        )
    room = LIST_ITEMS_MAX - len(kept)
    return seed.evolved(now_us, constraints=(*kept, *made[-room:]) if room > 0 else tuple(kept))


def best(verdicts: Sequence[Verdict | None]) -> int:
    """The index of the best: passed before not, then the higher score, then the earlier."""
    return max(range(len(verdicts)), key=lambda index: (*_rank(verdicts[index]), -index))


def _rank(verdict: Verdict | None) -> tuple[int, float]:
    if verdict is None:
        return (0, -1.0)
    return (2 if verdict.passed else 1, verdict.score or 0.0)


def _failed(verdict: Verdict) -> list[Finding]:
    return [finding for finding in verdict.findings if finding.status == "failed"]


def _constraint(generation: int, criterion: str, note: str) -> str:
    shown = criterion[:_CRITERION_CHARS_MAX]
    seen = json.dumps(note[:_SEEN_CHARS_MAX], ensure_ascii=False)
    return f"{FROM_REVIEW} {generation}: this was not met: {shown}. What the review saw (data): {seen}"
