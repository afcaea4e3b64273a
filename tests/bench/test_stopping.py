"""The measuring of stops: what is waited for was really there. Nothing is timed here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import pytest

from tests.bench import stopping


def test_a_child_and_its_child_are_seen_until_they_are_gone() -> None:
    """Grandchildren count, in a session of their own too; what has ended and was reaped does not."""
    command = ["sh", "-c", "setsid sleep 60 & echo; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        before = stopping.descendants()
        assert {child.pid} < {one for one, _ in before}
        sleeper = next(one for one, _ in before if one != child.pid)
        subprocess.run(["kill", str(sleeper)], check=True)
    assert not before & stopping.descendants()


@pytest.mark.parametrize(("count", "place"), [(100, 99), (120, 119), (1, 1), (200, 198)])
def test_the_99th_percentile_is_the_nearest_rank(count: int, place: int) -> None:
    """Of 120 sorted times it is the 119th: never an average that nobody measured."""
    assert stopping.p99([float(number) for number in range(count, 0, -1)]) == place


def test_every_situation_is_really_reached_and_left(tmp_path: Path) -> None:
    """One stop in each: the runs are cancelled, and no process of theirs is left."""
    taken = anyio.run(stopping.measure, tmp_path, 1)
    assert {name: len(times) for name, times in taken.items()} == dict.fromkeys(stopping.SITUATIONS, 1)
    assert not stopping.descendants()
