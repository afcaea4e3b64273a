"""What pages count from the journal, kept between requests: how models served, and how tools did.

Guarantees: `models` is the fold of all entries up to the newest when it was asked; each is read once for the
life of the server. `tools` counts since the server started, from the same numbers as `/metrics`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.engine.stats import RoutingStats
from kernel.journal.appender import Reader
from kernel.observe.metrics import Metrics

_READ: Final = 2_000
_HALF: Final = 2
_COST: Final = "oxios_llm_cost_usd"


@dataclass(slots=True)
class Figures:
    """`journal` is read on, from where it was read to."""

    journal: Reader
    _stats: RoutingStats = field(default_factory=RoutingStats)
    _seq: int = 0
    _reading: anyio.Lock = field(default_factory=anyio.Lock)

    async def models(self) -> RoutingStats:
        """Raises: JournalDown."""
        async with self._reading:
            while entries := await self.journal.read(after=self._seq, limit=_READ):
                for entry in entries:
                    self._stats.apply(entry)
                self._seq = entries[-1].seq
        return self._stats


@dataclass(slots=True)
class ToolFigures:
    """One tool since the server started. `calls` are those that were permitted or not; `failed` ran and failed."""

    calls: int = 0
    failed: int = 0
    denied: int = 0
    median_ms: float | None = None


def tools(metrics: Metrics) -> Mapping[str, ToolFigures]:
    """By name, those that were called."""
    found: dict[str, ToolFigures] = defaultdict(ToolFigures)
    buckets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for metric in metrics.registry.collect():
        for sample in metric.samples:
            tool = sample.labels.get("tool", "")
            if sample.name == "oxios_tool_calls_total":
                found[tool].calls += int(sample.value)
                if sample.labels["outcome"] == "error":
                    found[tool].failed += int(sample.value)
                elif sample.labels["outcome"] in {"denied", "invalid"}:
                    found[tool].denied += int(sample.value)
            elif sample.name == "oxios_tool_duration_seconds_bucket":
                buckets[tool].append((float(sample.labels["le"]), sample.value))
    for tool, counts in buckets.items():
        median_s = median(counts)
        found[tool].median_ms = None if median_s is None else median_s * 1_000
    return found


def median(buckets: Sequence[tuple[float, float]]) -> float | None:
    """Of a cumulative histogram, within its bucket by share; the highest finite bound where it is beyond."""
    half = buckets[-1][1] / _HALF if buckets else 0.0
    if not half:
        return None
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= half:
            return low if bound == float("inf") else low + (bound - low) * (half - below) / (count - below)
        low, below = bound, count
    return low


def spent_micro_usd(metrics: Metrics) -> float:
    """By all model requests since the server started."""
    found = (metric for metric in metrics.registry.collect() if metric.name == _COST)
    return 1_000_000 * sum(
        sample.value for metric in found for sample in metric.samples if sample.name == f"{_COST}_total"
    )
