"""How a run was judged, in one word: as the table `runs` has it, and lists show it."""

from __future__ import annotations

from collections.abc import Mapping

from kernel.jsontypes import JsonValue


def verdict_word(verdict: Mapping[str, JsonValue]) -> str:
    """Of a `review.verdict`: `passed`, `failed`, or `undecided` where nothing could be decided."""
    passed = verdict.get("passed")
    return "undecided" if passed is None else "passed" if passed else "failed"
