"""A process tree as /proc shows it: its processes, their memory, the files without a name that they hold.

Guarantees: a process that was a descendant of the root for the whole look is counted; what comes
and goes within one look may be missed. Reading costs some microseconds a process.

Source: proc_pid_status(5), proc_pid_task(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 512
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class TreeUse:
    """`memory_bytes` is what would be free without the tree: private pages, and each shared memory once.

    Pages of files count for nothing, since the system can drop them.
    """

    processes: int
    memory_bytes: int


def tree_use(root: int, processes_max: int, memory_bytes_max: int) -> TreeUse:
    """Measure the descendants of `root`, itself left out; stops counting above `processes_max`.

    Shared memory is looked up (some hundred microseconds a process) only where it could matter for the bound.
    """
    waiting = _children(root)
    seen: list[int] = []
    own = resident = 0
    while waiting and len(seen) <= processes_max:
        process = waiting.pop()
        seen.append(process)
        private, shared = _pages(process)
        own += private
        resident += private + shared
        waiting.extend(_children(process))
    if own <= memory_bytes_max < resident:
        own += sum(_shared_memory(process) for process in seen)
    return TreeUse(len(seen), own)


def descendants(root: int) -> list[int]:
    """Every descendant of `root` now, parents before children."""
    found = _children(root)
    for process in found:
        found.extend(_children(process))
    return found


def unlinked_bytes(root: int, devices: Container[int]) -> int:
    """Room on these devices held by files that the tree has open and nobody can name any more.

    A file that is held by a mapping alone, or is on its way through a socket, is not seen.
    """
    held: dict[tuple[int, int], int] = {}
    for process in descendants(root):
        # Threads may have descriptors of their own.
        for folder in (_PROC / str(process) / "task").glob("*/fd"):
            for node in _opened(folder):
                if node.st_nlink == 0 and stat.S_ISREG(node.st_mode) and node.st_dev in devices:
                    held[node.st_dev, node.st_ino] = node.st_blocks * _BLOCK_BYTES
    return sum(held.values())


def _opened(folder: Path) -> Iterator[os.stat_result]:
    try:
        handles = list(folder.iterdir())
    except OSError:
        return
    for handle in handles:
        with suppress(OSError):  # closed meanwhile
            yield handle.stat()


def _children(process: int) -> list[int]:
    found: list[int] = []
    try:
        threads = list((_PROC / str(process) / "task").iterdir())
    except OSError:
        return found
    for thread in threads:
        try:
            text = (thread / "children").read_text()
        except OSError:
            continue
        found.extend(int(word) for word in text.split())
    return found


def _pages(process: int) -> tuple[int, int]:
    """Resident bytes: of the process alone, and of files and shared memory."""
    try:
        _size, resident, shared, *_rest = (_PROC / str(process) / "statm").read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return max(int(resident) - int(shared), 0) * _PAGE_BYTES, int(shared) * _PAGE_BYTES


def _shared_memory(process: int) -> int:
    """Its share of memory that belongs to no file: what n processes map counts 1/n for each."""
    for name, label in (("smaps_rollup", "Pss_Shmem:"), ("status", "RssShmem:")):
        try:
            text = (_PROC / str(process) / name).read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(label):
                return int(line.split()[1]) * 1024
    return 0
