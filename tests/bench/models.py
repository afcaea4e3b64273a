"""Figures of runs that talk to a model: streamed rounds, tokens, many runs at once, and a long run's last rounds.

Guarantees: two floors stand in the same call as the candidate: an aiohttp loop that keeps nothing, and
the same loop with a durable row a round, all runs' rows in one commit. Everything that makes the
kernel one is on, and somebody watches every run.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.bench.measure import Figure, from_pairs
from tests.bench.rounds import Trial, trial

BARE = "aiohttp loop"
GROUPED = "aiohttp loop, group commit"
SHORT, LONG, CROWD_ROUNDS, CROWD = 10, 200, 5, 100
WORDS = 16
"""Of a streamed reply, before its call."""
MANY_WORDS = 400
EDGE = 20
"""Rounds at either end of a long run."""
STREAMED_CPU_MS_MAX = 2.0
TOKEN_CPU_US_MAX = 25.0
RUNS_PER_S_MIN = 150.0
GROUPED_RATIO_MIN = 0.25
RUN_MB_MAX = 0.1
LATE_WALL_MS_MAX = 3.0
LATE_RATIO_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Three:
    """The same work by the kernel and by both floors."""

    ours: Trial
    bare: Trial
    grouped: Trial


def three(folder: Path, *, rounds: int, runs: int = 1, words: int = 0) -> Three:
    """Candidate and floors, one after another."""
    bare = "tests.bench.bare_loop"
    return Three(
        trial("tests.bench.kernel_loop", folder, rounds=rounds, runs=runs, words=words),
        trial(bare, folder, rounds=rounds, runs=runs, words=words, more=("none",)),
        trial(bare, folder, rounds=rounds, runs=runs, words=words, more=("group",)),
    )


def streamed_figures(folder: Path, repetitions: int) -> list[Figure]:
    """CPU of a round whose reply is streamed word by word, and of each word."""
    found = [three(folder, rounds=SHORT, words=WORDS) for _ in range(repetitions)]
    name = f"streamed tool round ({WORDS} words a reply, {SHORT} in the run), CPU"
    bare = [(one.ours.cpu_ms, one.bare.cpu_ms) for one in found]
    grouped = [(one.ours.cpu_ms, one.grouped.cpu_ms) for one in found]
    plain = [three(folder, rounds=SHORT) for _ in range(repetitions)]
    wordy = [three(folder, rounds=SHORT, words=MANY_WORDS) for _ in range(repetitions)]
    both = list(zip(wordy, plain, strict=True))
    tokens = [(token_us(many.ours, none.ours), token_us(many.bare, none.bare)) for many, none in both]
    return [
        from_pairs(name, "ms", bare, BARE, STREAMED_CPU_MS_MAX),
        from_pairs(name, "ms", grouped, GROUPED, None),
        from_pairs("streamed token, CPU", "µs", tokens, BARE, TOKEN_CPU_US_MAX),
    ]


def token_us(many: Trial, none: Trial) -> float:
    """CPU of one word: of a run with many of them, less that of a run without."""
    return (many.spent.cpu_s - none.spent.cpu_s) / (MANY_WORDS * (SHORT + 1)) * 1e6


def crowd_figures(folder: Path, repetitions: int) -> list[Figure]:
    """Many short runs at once: how many end in a second, and what memory each needs while it lives."""
    found = [three(folder, rounds=CROWD_ROUNDS, runs=CROWD) for _ in range(repetitions)]
    bare = [(_rate(one.ours), _rate(one.bare)) for one in found]
    grouped = [(_rate(one.ours), _rate(one.grouped)) for one in found]
    name = f"{CROWD} runs of {CROWD_ROUNDS} rounds at once"
    return [
        from_pairs(name, "runs/s", bare, BARE, RUNS_PER_S_MIN, at_least=True),
        from_pairs(name, "runs/s", grouped, GROUPED, GROUPED_RATIO_MIN, at_least=True, bounds_ratio=True),
        *_memory(folder, [(one.ours, one.bare) for one in found]),
    ]


def _memory(folder: Path, small: Sequence[tuple[Trial, Trial]]) -> list[Figure]:
    """What a crowd takes, and what each run takes by which another crowd is larger: the first brings what is shared."""
    all_of_it = [(ours.spent.grown_mb, bare.spent.grown_mb) for ours, bare in small]
    if not all(map(all, all_of_it)):
        return []
    each: list[tuple[float, float]] = []
    for ours, bare in all_of_it:
        more = trial("tests.bench.kernel_loop", folder, rounds=CROWD_ROUNDS, runs=2 * CROWD)
        floor = trial("tests.bench.bare_loop", folder, rounds=CROWD_ROUNDS, runs=2 * CROWD, more=("none",))
        each.append(((more.spent.grown_mb - ours) / CROWD, (floor.spent.grown_mb - bare) / CROWD))
    return [
        from_pairs(f"memory of a live run ({2 * CROWD} at once less {CROWD})", "MB", each, BARE, RUN_MB_MAX),
        from_pairs(f"memory of {CROWD} live runs in all", "MB", all_of_it, BARE, None),
    ]


def _rate(done: Trial) -> float:
    return CROWD / done.spent.wall_s


def late_figures(folder: Path, repetitions: int) -> list[Figure]:
    """Wall time of the last rounds of a long run, beside the floors' and beside its own first ones."""
    found = [three(folder, rounds=LONG) for _ in range(repetitions)]
    name = f"a run's rounds {LONG - EDGE + 1} to {LONG}, wall of a round"
    edges = [(edges_ms(one.ours), edges_ms(one.bare), edges_ms(one.grouped)) for one in found]
    bare = [(late, floor) for (_, late), (_, floor), _ in edges]
    grouped = [(late, floor) for (_, late), _, (_, floor) in edges]
    own = [(late, early) for (early, late), _, _ in edges]
    return [
        from_pairs(name, "ms", bare, BARE, LATE_WALL_MS_MAX),
        from_pairs(name, "ms", grouped, GROUPED, None),
        from_pairs(name, "ms", own, f"its own rounds 1 to {EDGE}", LATE_RATIO_MAX, bounds_ratio=True),
    ]


def edges_ms(done: Trial) -> tuple[float, float]:
    """Median wall time of a run's first and of its last rounds: from one request to the next."""
    walls = [after - before for before, after in pairwise(done.arrivals[-LONG - 1 :])]
    return statistics.median(walls[:EDGE]) * 1e3, statistics.median(walls[-EDGE:]) * 1e3
