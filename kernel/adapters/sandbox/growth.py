"""How much a process added to the directories it may write, measured cheaply.

The file system's own free space and free inodes are looked at often (one system call); where they
fell by as much as the bound, the directories are walked, counting what changed since the start. So a
short command never pays for a walk, and growth by others on the same disk is told apart by the
walk; room that files take which are open but deleted is asked of `unlinked`. Since others may also free
space meanwhile, whoever watches walks now and then in any case.

Does not protect against growth between two looks (some hundredths of a second), nor does it see
who made a change: two commands that run in one workspace are charged for each other's files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 512


@dataclass(slots=True)
class _Disk:
    free_bytes: int
    free_files: int
    counts_files: bool


@dataclass(slots=True)
class Growth:
    """Growth of `roots` from the moment it is made. `since_s` is wall time then."""

    roots: tuple[str, ...]
    since_s: float
    bytes_max: int
    files_max: int
    unlinked: Callable[[Container[int]], int] = lambda _devices: 0
    """Bytes on these devices that the watched processes hold in files without a name."""
    _start: dict[str, _Disk] = field(default_factory=dict[str, _Disk])
    _passed: int = 1
    """How often a walk found that the growth was another's; each raises the trigger by one bound."""

    def __post_init__(self) -> None:
        self._start = {root: _disk(root) for root in self.roots}

    @property
    def needs_timed_walks(self) -> bool:
        """True where a file system does not count its files (btrfs): then walk now and then."""
        return any(not disk.counts_files for disk in self._start.values())

    def suspicious(self) -> bool:
        """Whether the disks lost enough room that a walk is due. Some microseconds."""
        for root, start in self._start.items():
            now = _disk(root)
            if start.free_bytes - now.free_bytes > self.bytes_max * self._passed:
                return True
            if start.counts_files and start.free_files - now.free_files > self.files_max * self._passed:
                return True
        return False

    def exceeded(self, stop: Callable[[], bool]) -> bool:
        """Walk and count what is new or changed since the start. Blocks; `stop` ends it early."""
        files, size = 0, self.unlinked({Path(root).stat().st_dev for root in self.roots})
        for root in self.roots:
            for status in _changed(root, self.since_s, stop):
                files += 1
                size += status.st_blocks * _BLOCK_BYTES
                if size > self.bytes_max or files > self.files_max:
                    return True
        self._passed += 1
        return size > self.bytes_max


def _disk(root: str) -> _Disk:
    status = os.statvfs(root)
    return _Disk(status.f_bfree * status.f_frsize, status.f_ffree, status.f_files > 0)


def _changed(root: str, since_s: float, stop: Callable[[], bool]) -> Iterator[os.stat_result]:
    waiting = [root]
    while waiting and not stop():
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                waiting.append(entry.path)
            # File times lag the precise clock by up to 10 ms: what was there before never counts, and
            # what is made in the first milliseconds may go uncounted.
            if status.st_ctime > since_s:
                yield status
