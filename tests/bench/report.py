"""All figures, and the page they make."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tests.bench import gate, journal, models, process, rounds, stopping, web_live, web_past
from tests.bench.measure import Figure, table

_TEXT = """# Measured figures

Written by `make bench`: do not edit. Each figure is a median of repetitions, and stands beside a floor that was
measured in the same call and in turns with it: a disk's sync rate swings by an order of magnitude within minutes,
so read the last column first. The floors: a bare SQLite group commit; reading and hashing rows; a scan of strings;
a bare loop of aiohttp that talks to the same model server and makes one synced SQLite commit a round, the same
loop without a commit ("aiohttp loop"), and with one for all runs that wait ("group commit"); an empty Python.
Those of the pages have no floor: they are asked for in milliseconds, of a real server, a real Chromium and a crowd of
listening clients, each a process of its own on the same cores; they are missing where there is no Chromium.

"""


def measure_all(folder: Path, *, quick: bool = False) -> list[Figure]:
    """Every figure, in the order of the page."""
    times = 1 if quick else 5
    entries = 6_400 if quick else 64_000
    return [
        journal.append_figure(folder, entries=entries, repetitions=times),
        journal.verify_figure(folder, entries=entries, repetitions=times),
        gate.decision_figure(folder, decisions=500 if quick else 5_000, repetitions=times),
        *rounds.round_figures(folder, times),
        *rounds.at_once_figures(folder, times),
        *models.streamed_figures(folder, times),
        *models.crowd_figures(folder, times),
        *models.late_figures(folder, times),
        *(rounds.sync_figures(folder) if rounds.can_count_syncs() else ()),
        *stopping.stop_figures(folder, each=3 if quick else stopping.STOPS_EACH),
        *process.one_request_figures(folder, times),
        process.help_cpu(times),
        *web_live.live_figures(folder, quick=quick),
        *web_past.past_figures(folder, quick=quick),
    ]


def render(figures: Sequence[Figure]) -> str:
    """The page."""
    lacks = "" if rounds.can_count_syncs() else "\nSyncs and stored bytes are missing: strace is not installed here.\n"
    where = (
        f"\nMeasured with Python {platform.python_version()} and SQLite {sqlite3.sqlite_version} on "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores.\n"
    )
    return _TEXT + table(figures) + lacks + where
