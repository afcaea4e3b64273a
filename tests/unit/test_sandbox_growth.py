"""Growth of a workspace: what is counted, and when a walk is due."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from kernel.adapters.sandbox.growth import Growth
from kernel.adapters.sandbox.seccomp import filter_program
from kernel.adapters.sandbox.tree import descendants, tree_use

KIB = 1024


class Disk(NamedTuple):
    """What `os.statvfs` answers, as far as it is looked at."""

    f_bfree: int
    f_ffree: int
    f_files: int = 10_000
    f_frsize: int = KIB


def never() -> bool:
    return False


def began() -> float:
    """A start that every file made from now on is later than."""
    return time.time_ns() / 1e9 - 0.05


@pytest.mark.parametrize(("count", "over"), [(4, False), (5, True)])
def test_files_are_counted_against_their_bound(tmp_path: Path, count: int, over: bool) -> None:
    """As many as the bound are within it, one more is not; directories count, nested files too."""
    growth = Growth((str(tmp_path),), began(), bytes_max=10**9, files_max=4)
    (tmp_path / "d").mkdir()
    for number in range(count - 1):
        (tmp_path / "d" / str(number)).touch()
    assert growth.exceeded(never) is over


@pytest.mark.parametrize(("kib", "over"), [(48, False), (200, True)])
def test_bytes_are_counted_as_they_lie_on_the_disk(tmp_path: Path, kib: int, over: bool) -> None:
    """Blocks count, so a sparse file's holes do not."""
    growth = Growth((str(tmp_path),), began(), bytes_max=100 * KIB, files_max=100)
    (tmp_path / "a").write_bytes(b"x" * kib * KIB)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10 * 1024 * KIB)
        os.fsync(file.fileno())
    assert growth.exceeded(never) is over


def test_what_was_there_before_is_not_counted(tmp_path: Path) -> None:
    """Old files do not count; one of them that is changed does."""
    for number in range(10):
        (tmp_path / str(number)).touch()
    growth = Growth((str(tmp_path),), time.time_ns() / 1e9 + 0.1, bytes_max=10**9, files_max=0)
    assert not growth.exceeded(never)
    assert Growth((str(tmp_path),), began(), bytes_max=10**9, files_max=9).exceeded(never)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (Disk(1_000, 1_000), False),
        (Disk(900, 1_000), False),
        (Disk(899, 1_000), True),
        (Disk(1_000, 950), False),
        (Disk(1_000, 949), True),
        (Disk(2_000, 2_000), False),
    ],
)
def test_a_walk_is_due_when_the_disk_lost_more_than_a_bound(
    monkeypatch: pytest.MonkeyPatch, now: Disk, due: bool
) -> None:
    """Exactly the bound is within it, in bytes and in files; a disk that gained room is no reason."""
    answers = [Disk(1_000, 1_000), now]

    def statvfs(_path: str) -> Disk:
        return answers.pop(0)

    monkeypatch.setattr(os, "statvfs", statvfs)
    growth = Growth(("/w",), 0, bytes_max=100 * KIB, files_max=50)
    assert growth.suspicious() is due


def test_growth_of_others_raises_the_trigger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a walk that found nothing, the next is due only after as much growth again."""
    disk = [Disk(10_000, 1_000)]

    def statvfs(_path: str) -> Disk:
        return disk[0]

    monkeypatch.setattr(os, "statvfs", statvfs)
    growth = Growth((str(tmp_path),), time.time_ns() / 1e9 + 0.1, bytes_max=100 * KIB, files_max=500)
    disk[0] = Disk(9_850, 1_000)
    assert growth.suspicious()
    assert not growth.exceeded(never)
    assert not growth.suspicious()
    disk[0] = Disk(9_799, 1_000)
    assert growth.suspicious()


@pytest.mark.parametrize(("files", "timed"), [(0, True), (10_000, False)])
def test_a_file_system_that_counts_no_files_is_walked_by_time(
    monkeypatch: pytest.MonkeyPatch, files: int, timed: bool
) -> None:
    """Such as btrfs, whose inodes are unbounded."""

    def statvfs(_path: str) -> Disk:
        return Disk(1_000, 0, files)

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert Growth(("/w",), 0, bytes_max=1, files_max=1).needs_timed_walks is timed


def test_a_process_tree_without_children_uses_nothing() -> None:
    """A process that is not there has none either."""
    assert tree_use(2**22 + 1, 10, 1).processes == 0
    assert descendants(2**22 + 1) == []


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_stays_inside_it(machine: str) -> None:
    """Classic BPF: each instruction is eight bytes, jumps go forward, and the last one returns."""
    program = filter_program(machine)
    assert program is not None
    codes = [program[at : at + 8] for at in range(0, len(program), 8)]
    assert len(program) % 8 == 0
    assert len(codes) < 4_096
    assert codes[-1][0] == 0x06
    for number, code in enumerate(codes):
        if code[0] & 0x07 == 0x05:
            assert number + 1 + max(code[2], code[3]) < len(codes)


def test_an_unknown_machine_has_no_filter() -> None:
    """It is run without one, which the RFC says, rather than with a wrong one."""
    assert filter_program("riscv64") is None
