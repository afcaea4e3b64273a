"""Walking a directory tree beneath its mount, and searching in a worker thread.

Guarantees: no link is followed, what is walled off is not entered, the order is that of names, and
a search ends soon after its time is up or its caller is cancelled, with what it found until then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from kernel.clock import Clock
from kernel.errors import OxiosError
from kernel.gate.paths import open_beneath
from kernel.syscalls.target import PathTarget

SEARCH_S: Final = 30.0
SEARCHES_AT_ONCE_MAX: Final = 4
DEPTH_MAX: Final = 64
_DEPENDENCIES: Final = frozenset({"node_modules", "__pycache__", "venv", "bower_components"})
_LIMITER: Final = RunVar[anyio.CapacityLimiter]("oxios_searches")

Stop = Callable[[], bool]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of the tree; `path` is below the walk's start, `inner` below the mount."""

    path: str
    inner: str
    is_dir: bool
    is_file: bool


@dataclass(slots=True)
class Walk:
    """Walks below `start`. With `everything` it enters hidden and dependency directories too."""

    start: PathTarget
    stop: Stop
    everything: bool = False
    unread: int = field(default=0, init=False)
    """Directories that could not be opened."""
    stopped: bool = field(default=False, init=False)
    """It was told to stop before the end."""
    skipped: set[str] = field(default_factory=set[str], init=False)
    """Names of directories that were left out."""

    def nodes(self) -> Iterator[Node]:
        """Depth first; a directory before what it holds."""
        yield from self._below("", 0)

    def _below(self, path: str, depth: int) -> Iterator[Node]:
        try:
            handle = open_beneath(self.start.mount, self._inner(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OxiosError:
            self.unread += 1
            return
        try:
            with os.scandir(handle) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            kinds = [(entry.name, entry.is_dir(follow_symlinks=False), _is_file(entry)) for entry in entries]
        finally:
            os.close(handle)
        for name, is_dir, is_file in kinds:
            if self.stop():
                self.stopped = True
                return
            inner = f"{path}/{name}" if path else name
            if not self.everything and is_dir and (name.startswith(".") or name in _DEPENDENCIES):
                self.skipped.add(name)
                continue
            yield Node(inner, self._inner(inner), is_dir, is_file)
            if is_dir and depth < DEPTH_MAX:
                yield from self._below(inner, depth + 1)

    def _inner(self, path: str) -> str:
        return "/".join(part for part in (self.start.inner, path) if part)


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


async def in_worker(job: Callable[[Stop], T], clock: Clock) -> T:
    """Run a search in a worker thread; `job` asks `stop` often and returns what it has when told."""
    cancelled = False
    until_s = clock.monotonic_s() + SEARCH_S

    def stop() -> bool:
        return cancelled or clock.monotonic_s() > until_s

    try:
        return await anyio.to_thread.run_sync(job, stop, abandon_on_cancel=True, limiter=_limiter())
    finally:
        cancelled = True


def _limiter() -> anyio.CapacityLimiter:
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(SEARCHES_AT_ONCE_MAX)
        _LIMITER.set(limiter)
        return limiter


def glob_matches(pattern: str, path: str) -> bool:
    """Whether a path fits a glob: without a slash the last name is compared, else every component.

    `**` stands for any number of components. Linear in pattern times path, whatever the pattern.
    """
    parts = path.split("/")
    if "/" not in pattern:
        return fnmatchcase(parts[-1], pattern)
    return _components_match(tuple(part for part in pattern.split("/") if part not in {"", "."}), tuple(parts))


@lru_cache(maxsize=4096)
def _components_match(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    reach = {0}
    for component in pattern:
        if component == "**":
            reach = set(range(min(reach, default=len(parts) + 1), len(parts) + 1))
        else:
            reach = {at + 1 for at in reach if at < len(parts) and fnmatchcase(parts[at], component)}
    return len(parts) in reach
