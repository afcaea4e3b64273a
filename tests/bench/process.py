"""Whole processes: CPU seconds and peak memory as the system counted them for a child."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Figure, median, paired

HELP_CPU_S_MAX = 0.3


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
    value, floor, ratio = paired(lambda: usage_of(command).cpu_s, lambda: bare().cpu_s, repetitions)
    return Figure("`oxios --help`", "s of CPU", value, floor, "`python -c pass`", HELP_CPU_S_MAX, ratio=ratio)


def peak_mb(command: list[str], repetitions: int) -> float:
    return median(lambda: usage_of(command).rss_mb, repetitions)
