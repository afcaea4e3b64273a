"""Figures: medians over repetitions, each beside a floor that was measured in the same call.

Guarantees: candidate and floor alternate, so a machine that slows down for a while slows both; the
ratio is the median of the repetitions' own ratios. Does not guarantee that another machine gives
the same figures: the disk's sync rate alone swings by an order of magnitude, hence the floors.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Measured: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing. `bound` is what we ask of `value`, or of the ratio where `bounds_ratio`."""

    name: str
    unit: str
    value: float
    floor: float | None = None
    floor_name: str = ""
    bound: float | None = None
    at_least: bool = False
    bounds_ratio: bool = False
    ratio: float | None = None

    @property
    def met(self) -> bool | None:
        """None where nothing is asked."""
        judged = self.ratio if self.bounds_ratio else self.value
        if self.bound is None or judged is None:
            return None
        return judged >= self.bound if self.at_least else judged <= self.bound


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of work took."""

    wall_s: float
    cpu_s: float
    grown_mb: float = 0.0
    """The peak of what was resident over what was at the start; 0 where the system does not say (no Linux)."""


class Stopwatch:
    """Wall and CPU seconds (all threads of this process) since it was made, and what its memory grew by."""

    def __init__(self) -> None:
        self._resident_kb = _memory_kb("VmRSS")
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def read(self) -> Spent:
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Spent(wall_s, cpu_s, max(0, _memory_kb("VmHWM") - self._resident_kb) / 1024)


def _memory_kb(name: str) -> int:
    """A size that the kernel keeps of this process; 0 where there is none of that name."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else ()
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def paired(candidate: Measured, floor: Measured, repetitions: int) -> list[tuple[float, float]]:
    """Candidate and floor, measured in turns."""
    return [(candidate(), floor()) for _ in range(repetitions)]


def from_pairs(
    name: str, unit: str, pairs: Sequence[tuple[float, float]], floor_name: str, bound: float | None, *,
    at_least: bool = False, bounds_ratio: bool = False,
) -> Figure:  # fmt: skip
    """A figure of candidates and floors that were measured in turns: medians of each and of their ratios."""
    return Figure(
        name,
        unit,
        statistics.median(value for value, _ in pairs),
        statistics.median(floor for _, floor in pairs),
        floor_name,
        bound,
        at_least=at_least,
        bounds_ratio=bounds_ratio,
        ratio=statistics.median(value / floor for value, floor in pairs),
    )


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table."""
    rows = ["| figure | measured | asked | floor | measured ÷ floor |", "|---|---|---|---|---|"]
    rows += [_row(figure) for figure in figures]
    return "\n".join(rows) + "\n"


def _row(figure: Figure) -> str:
    floor = f"{_number(figure.floor)} ({figure.floor_name})" if figure.floor is not None else ""
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    return f"| {figure.name} | {_number(figure.value)} {figure.unit} | {_asked(figure)} | {floor} | {ratio} |"


def _asked(figure: Figure) -> str:
    if figure.bound is None:
        return ""
    sign = "≥" if figure.at_least else "≤"
    what = f"{figure.bound:g} × floor" if figure.bounds_ratio else _number(figure.bound)
    return f"{sign} {what}: {'met' if figure.met else '**not met**'}"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
