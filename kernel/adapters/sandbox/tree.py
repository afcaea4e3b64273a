"""A process tree as /proc shows it: how many processes, how much memory of their own.

Guarantees: a process that was a descendant of the root for the whole look is counted; what comes
and goes within one look may be missed. Reading costs some microseconds a process.

Source: proc_pid_status(5), proc_pid_task(5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class TreeUse:
    """`memory_bytes` is private resident memory, summed: pages shared between processes count for none."""

    processes: int
    memory_bytes: int


def tree_use(root: int, processes_max: int) -> TreeUse:
    """Measure the descendants of `root`, itself left out; stops counting above `processes_max`."""
    waiting = _children(root)
    count = 0
    memory = 0
    while waiting and count <= processes_max:
        process = waiting.pop()
        count += 1
        memory += _own_memory(process)
        waiting.extend(_children(process))
    return TreeUse(count, memory)


def descendants(root: int) -> list[int]:
    """Every descendant of `root` now, parents before children."""
    found = _children(root)
    for process in found:
        found.extend(_children(process))
    return found


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


def _own_memory(process: int) -> int:
    try:
        _size, resident, shared, *_rest = (_PROC / str(process) / "statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return max(int(resident) - int(shared), 0) * _PAGE_BYTES
