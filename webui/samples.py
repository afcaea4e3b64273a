"""How the figures went in the last hour: a bounded ring of readings, one every few seconds.

Guarantees: at most SAMPLES_MAX readings of at most FIGURES_MAX figures are kept, whatever agents do; a
reading is of counters that the journal moved, so nothing is counted twice. It begins anew with the server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from kernel.clock import Clock
from kernel.observe.metrics import Metrics

EVERY_S: Final = 5.0
SAMPLES_MAX: Final = 720
FIGURES_MAX: Final = 128
TOOLS_SHOWN: Final = 4
PER_MINUTE: Final = 12
"""Readings of a minute."""
_NAMES: Final = {
    "oxios_runs_total": ("run", "status"),
    "oxios_tool_calls_total": ("tool", "tool"),
    "oxios_tool_errors_total": ("tool-failed", "tool"),
    "oxios_llm_duration_seconds_sum": ("model-seconds", ""),
    "oxios_llm_duration_seconds_count": ("model-replies", ""),
    "oxios_llm_tokens_total": ("tokens", "direction"),
    "oxios_llm_cost_usd_total": ("usd", ""),
    "oxios_approvals_total": ("approvals", ""),
    "oxios_approvals_waiting": ("waiting", ""),
    "oxios_journal_entries_total": ("entries", ""),
}
"""The metric's sample: the figure's name, and the label that tells its parts apart (others are summed up)."""

Shown: TypeAlias = Literal["now", "minute", "second", "mean"]


@dataclass(frozen=True, slots=True)
class Reading:
    time_us: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Series:
    label: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    id: str
    title: str
    unit: str
    series: tuple[Series, ...]


def figures_of(metrics: Metrics) -> dict[str, float]:
    """The counters and gauges that charts are drawn of, summed over the labels that none shows."""
    found: dict[str, float] = {}
    for metric in metrics.registry.collect():
        for sample in metric.samples:
            name, label = _NAMES.get(sample.name, ("", ""))
            if name:
                key = f"{name}:{sample.labels[label]}" if label else name
                if key in found or len(found) < FIGURES_MAX:
                    found[key] = found.get(key, 0.0) + sample.value
    return dict(found)


@dataclass(slots=True)
class Samples:
    """`measure` gives all figures of now, by name."""

    clock: Clock
    measure: Callable[[], Mapping[str, float]]
    readings: deque[Reading] = field(default_factory=lambda: deque[Reading](maxlen=SAMPLES_MAX))

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self.take()
            await self.clock.sleep(EVERY_S)

    def take(self) -> None:
        figures = dict(list(self.measure().items())[: FIGURES_MAX * 2])
        self.readings.append(Reading(self.clock.now_us(), figures))

    def times_us(self) -> tuple[int, ...]:
        return tuple(one.time_us for one in self.readings)

    def charts(self) -> tuple[Chart, ...]:
        """Every chart, each series as long as `times_us`."""
        tools = self._top_tools()
        ended = ("finished", "failed", "cancelled")
        return (
            self._chart("runs", "Runs", "", [("running", "running", "now")]),
            self._chart("ended", "Runs ended", "a minute", [(one, f"run:{one}", "minute") for one in ended]),
            self._chart("tools", "Tool calls", "a minute", [(one, f"tool:{one}", "minute") for one in tools]),
            self._chart(
                "failures", "Tool failures", "a minute", [(one, f"tool-failed:{one}", "minute") for one in tools]
            ),
            self._chart("latency", "Model latency", "seconds", [("mean of a minute", "model", "mean")]),
            self._chart(
                "tokens", "Tokens", "a minute", [(one, f"tokens:{one}", "minute") for one in ("in", "out", "cached")]
            ),
            self._chart("cost", "Cost", "$ a minute", [("cost", "usd", "minute")]),
            self._chart(
                "approvals",
                "Approvals",
                "",
                [("waiting", "waiting", "now"), ("answered a minute", "approvals", "minute")],
            ),
            self._chart("entries", "Journal entries", "a second", [("entries", "entries", "second")]),
            self._chart("clients", "Event streams", "", [("connected", "clients", "now")]),
        )

    def _chart(self, chart: str, title: str, unit: str, drawn: Sequence[tuple[str, str, Shown]]) -> Chart:
        series = tuple(Series(label, tuple(self._values(figure, shown))) for label, figure, shown in drawn)
        return Chart(chart, title, unit, series)

    def _values(self, figure: str, shown: Shown) -> Iterator[float | None]:
        readings = list(self.readings)
        for at, one in enumerate(readings):
            before = readings[max(0, at - (1 if shown == "second" else PER_MINUTE))]
            match shown:
                case "now":
                    yield one.figures.get(figure, 0.0)
                case "minute":
                    yield _risen(before, one, figure)
                case "second":
                    seconds = (one.time_us - before.time_us) / 1_000_000
                    yield round(_risen(before, one, figure) / seconds, 3) if seconds else 0.0
                case "mean":
                    replies = _risen(before, one, f"{figure}-replies")
                    yield round(_risen(before, one, f"{figure}-seconds") / replies, 3) if replies else None

    def _top_tools(self) -> list[str]:
        """Those called most since the server started."""
        if not self.readings:
            return []
        newest = self.readings[-1].figures
        calls = {key[5:]: value for key, value in newest.items() if key.startswith("tool:")}
        return sorted(calls, key=lambda tool: (-calls[tool], tool))[:TOOLS_SHOWN]


def _risen(before: Reading, after: Reading, figure: str) -> float:
    return round(after.figures.get(figure, 0.0) - before.figures.get(figure, 0.0), 6)
