"""A tool round with everything on, beside a bare loop against the same model server.

Candidate and floor are processes of their own, measured from inside after a warm start; syncs are
counted by strace over the whole process, and taken as the difference between a long and a short
conversation, so that starting and stopping do not count. Bytes are taken the same way.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Figure, Spent, from_pairs
from tests.bench.model_process import NOTES, OPENING, model_server, path_of
from tests.bench.opening import opening

BARE = "bare loop"
SHORT, LONG, MANY = 10, 200, 100
CPU_MS_MAX = 1.5
WALL_RATIO_MAX = 1.3
SYNCS_MAX = 2.5
SYNCS_AT_ONCE_MAX = 0.2
STORE_BYTES_MAX = 3_000
_TIMEOUT_S = 300
_COUNTED = re.compile(
    r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(?:fsync|fdatasync|msync|sync_file_range)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One measured process."""

    spent: Spent
    rounds: int
    syncs: int = 0
    store_bytes: int = 0
    arrivals: tuple[float, ...] = ()
    """When the model server had each request, the warming ones before; seconds of one clock."""

    @property
    def cpu_ms(self) -> float:
        return self.spent.cpu_s / self.rounds * 1e3

    @property
    def wall_ms(self) -> float:
        return self.spent.wall_s / self.rounds * 1e3


def trial(
    module: str, folder: Path, *, rounds: int, runs: int = 1, tool: str = "read", traced: bool = False,
    words: int = 0, more: Sequence[str] = (),
) -> Trial:  # fmt: skip
    """One process of `module` in a fresh folder, with `more` words. Raises: RuntimeError, where it fails."""
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "workspace").mkdir()
    for topic in range(runs):
        (place / "workspace" / path_of(topic)).write_text(NOTES, encoding="utf-8")
    (place / OPENING).write_bytes(opening(place / "workspace"))
    counts = place / "strace"
    tracer = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,msync,sync_file_range", "-o", str(counts)]
    arrivals: list[float] = []
    with model_server(rounds, tool, words=words, arrivals=arrivals) as url:
        command = [sys.executable, "-m", module, url, str(place), str(rounds), str(runs), *more]
        done = subprocess.run(
            [*(tracer if traced else []), *command],
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[:20000]}")
    syncs = syncs_of(counts.read_text(encoding="utf-8")) if traced else 0
    store = sum(path.stat().st_size for path in place.glob("home/journal/*"))
    shutil.rmtree(place)
    return Trial(Spent(**json.loads(done.stdout.splitlines()[-1])), rounds * runs, syncs, store, tuple(arrivals))


def syncs_of(report: str) -> int:
    """All syncs in a summary of strace."""
    return sum(map(int, _COUNTED.findall(report)))


def can_count_syncs() -> bool:
    """Where strace is there and may trace."""
    return (
        shutil.which("strace") is not None
        and not subprocess.run(["strace", "-c", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode
    )


def _pairs(folder: Path, rounds: int, runs: int, tool: str, repetitions: int) -> list[tuple[Trial, Trial]]:
    return [
        (
            trial("tests.bench.kernel_loop", folder, rounds=rounds, runs=runs, tool=tool),
            trial("tests.bench.bare_loop", folder, rounds=rounds, runs=runs, tool=tool),
        )
        for _ in range(repetitions)
    ]


def round_figures(folder: Path, repetitions: int) -> list[Figure]:
    """CPU and wall time of a round: reads, short and long, and writes, whose intent is durable before the act."""
    figures: list[Figure] = []
    for rounds, tool in ((SHORT, "read"), (LONG, "read"), (LONG, "write")):
        pairs = _pairs(folder, rounds, 1, tool, repetitions)
        cpu = [(ours.cpu_ms, bare.cpu_ms) for ours, bare in pairs]
        wall = [(ours.wall_ms, bare.wall_ms) for ours, bare in pairs]
        name = f"tool round ({tool}, {rounds} in the run)"
        figures += [
            from_pairs(f"{name}, CPU", "ms", cpu, BARE, CPU_MS_MAX),
            # A short run's rounds carry its start and its end, each durable: nothing is asked of their wall time.
            from_pairs(
                f"{name}, wall", "ms", wall, BARE, WALL_RATIO_MAX if rounds == LONG else None, bounds_ratio=True
            ),
        ]
    return figures


def at_once_figures(folder: Path, repetitions: int) -> list[Figure]:
    """CPU of a round, and runs a second, where many runs go on at once."""
    pairs = _pairs(folder, SHORT, MANY, "read", repetitions)
    cpu = [(ours.cpu_ms, bare.cpu_ms) for ours, bare in pairs]
    rate = [(MANY / ours.spent.wall_s, MANY / bare.spent.wall_s) for ours, bare in pairs]
    return [
        from_pairs(f"{MANY} runs at once, CPU of a round", "ms", cpu, BARE, None),
        from_pairs(f"{MANY} runs of {SHORT} rounds at once", "runs/s", rate, BARE, None),
    ]


def sync_figures(folder: Path) -> list[Figure]:
    """Syncs and stored bytes of a round; counts, so one pass is enough."""
    figures = [_at_once(folder)]
    for tool in ("write", "read"):
        short, long = (
            trial("tests.bench.kernel_loop", folder, rounds=rounds, tool=tool, traced=True) for rounds in (SHORT, LONG)
        )
        # The warming run has as many rounds as the measured one.
        rounds = 2 * (long.rounds - short.rounds)
        syncs, stored = (long.syncs - short.syncs) / rounds, (long.store_bytes - short.store_bytes) / rounds
        figures[:0] = [
            Figure(f"tool round ({tool}), syncs", "fsync", syncs, bound=SYNCS_MAX),
            Figure(f"tool round ({tool}), stored", "bytes", stored, bound=STORE_BYTES_MAX),
        ]
    return figures


def _at_once(folder: Path) -> Figure:
    one, many = (
        trial("tests.bench.kernel_loop", folder, rounds=SHORT, runs=runs, traced=True) for runs in (1, MANY + 1)
    )
    syncs = (many.syncs - one.syncs) / (many.rounds - one.rounds)
    return Figure(f"tool round (read), syncs, {MANY} runs at once", "fsync", syncs, bound=SYNCS_AT_ONCE_MAX)
