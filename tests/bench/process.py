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


def usage_of(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> Usage:
    """Run a command to its end. Raises: CalledProcessError, with the output, where it fails."""
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, output)


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
