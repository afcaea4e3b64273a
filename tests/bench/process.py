"""Whole processes: CPU seconds and peak memory as the system counted them for a child."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Figure, from_pairs, paired
from tests.bench.model_process import model_server, provider_at

EMPTY = "empty Python"
HELP_CPU_S_MAX = 0.3
RUN_CPU_S_MAX = 0.9
RUN_RSS_MB_MAX = 100


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process used, its own children that it waited for included."""

    cpu_s: float
    rss_mb: float
    output: str


# A process counts as its own peak what it was before `exec`: a copy of whoever started it. So a small one starts it.
_LAUNCH = """
import os, sys
report, *command = sys.argv[1:]
_, status, used = os.wait4(os.posix_spawnp(command[0], command, os.environ), 0)
with open(report, "w") as file:
    print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss, file=file)
"""


def usage_of(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> Usage:
    """Run a command to its end. Raises: CalledProcessError, with the output, where it fails."""
    with tempfile.NamedTemporaryFile(mode="r", encoding="utf-8") as report:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, report.name, *command]
        done = subprocess.run(
            launcher, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        code, cpu_s, rss_kb = report.read().split()
    if int(code):
        raise subprocess.CalledProcessError(int(code), command, done.stdout)
    return Usage(float(cpu_s), int(rss_kb) / 1024, done.stdout)


def bare() -> Usage:
    """This Python, started and ended."""
    return usage_of([sys.executable, "-c", "pass"])


def help_cpu(repetitions: int) -> Figure:
    """CPU seconds of `oxios --help`, the whole process."""
    command = [sys.executable, "-m", "oxios", "--help"]
    pairs = paired(lambda: usage_of(command).cpu_s, lambda: bare().cpu_s, repetitions)
    return from_pairs("`oxios --help`", "s of CPU", pairs, EMPTY, HELP_CPU_S_MAX)


def one_request(folder: Path, url: str) -> Usage:
    """A whole `oxios seed submit` in an empty home, with one model request."""
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "workspace").mkdir()
    seed = place / "seed.toml"
    seed.write_text('goal = "Say that it is done."\n', encoding="utf-8")
    env = {**os.environ, "OXIOS_HOME": str(place / "home"), "NO_COLOR": "1", **provider_at(url)}
    command = [sys.executable, "-m", "oxios", "seed", "submit", str(seed), "--workspace", str(place / "workspace")]
    used = usage_of([*command, "--exit-code"], cwd=place, env=env)
    shutil.rmtree(place)
    return used


def one_request_figures(folder: Path, repetitions: int) -> list[Figure]:
    """CPU seconds and peak memory of that process, each beside an empty Python."""
    with model_server(0) as url:
        pairs = [(one_request(folder, url), bare()) for _ in range(repetitions)]
    cpu = [(ours.cpu_s, empty.cpu_s) for ours, empty in pairs]
    memory = [(ours.rss_mb, empty.rss_mb) for ours, empty in pairs]
    return [
        from_pairs("a run of one request, whole process", "s of CPU", cpu, EMPTY, RUN_CPU_S_MAX),
        from_pairs("a run of one request, peak memory", "MB", memory, EMPTY, RUN_RSS_MB_MAX),
    ]
