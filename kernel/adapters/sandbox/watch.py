"""One process under its bounds: read what it prints, stop its tree where a bound is passed.

Guarantees: when `watch` returns or is cancelled, `Tree.kill` has been called and the process is
reaped. Output is kept up to its bound, then the tree is stopped. Deadline, processes, memory and
workspace growth are each looked at every few hundredths of a second, so a tree may pass a bound
for that long; per-process limits that the kernel itself enforces are the tiers' to set.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import anyio
import anyio.abc
import anyio.to_thread

from kernel.adapters.sandbox.growth import Growth
from kernel.adapters.sandbox.tree import descendants, tree_use, unlinked_bytes
from kernel.clock import Clock
from kernel.ports.sandbox import Command, StoppedBy

_TICK_S: Final = 0.025
_DRAIN_S: Final = 2.0
_REAP_S: Final = 5.0
_READ_BYTES: Final = 64 * 1024
_PIPE_ENDED: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
_WALK_PAUSE_S: Final = 0.5
"""Walks are also due by time: who deletes elsewhere on the disk hides growth from the free space."""
_WALK_SHARE: Final = 20
"""A walk that took t is followed by at least 20 t without one that is due by time alone."""


class Tree(Protocol):
    """The process tree of a tier."""

    @property
    def root(self) -> int:
        """The process whose descendants are the command's, or 0 while unknown."""
        ...

    def kill(self) -> None:
        """Send every process of the tree its end. May be called twice."""
        ...


@dataclass(slots=True)
class Watched:
    """What came of it. `exit_code` is negative for a signal, as the operating system told it."""

    output: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    stopped_by: StoppedBy = ""
    exit_code: int = 0


class Watch:
    """Runs one started process to its end. Used once."""

    def __init__(self, command: Command, tree: Tree, clock: Clock, on_output: Callable[[bytes], None] | None) -> None:
        self._command = command
        self._bounds = command.bounds
        self._tree = tree
        self._clock = clock
        self._on_output = on_output
        self._seen = Watched()
        roots = tuple(bind.path for bind in command.binds if bind.writable)
        self._growth = Growth(
            roots,
            clock.now_us() / 1_000_000,
            self._bounds.workspace_bytes_max,
            self._bounds.workspace_files_max,
            lambda devices: unlinked_bytes(tree.root, devices) if tree.root else 0,
        )

    async def run(self, process: anyio.abc.Process) -> Watched:
        """Wait until the process ends, is stopped by a bound, or the caller is cancelled."""
        try:
            with anyio.move_on_after(self._bounds.deadline_s) as limit:
                await self._to_the_end(process)
            if limit.cancelled_caught:
                self._stop("deadline")
        finally:
            with anyio.CancelScope(shield=True):
                await self._reap(process)
        return self._seen

    async def _to_the_end(self, process: anyio.abc.Process) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._look)
            done = anyio.Event()
            group.start_soon(self._pump, process, done)
            await process.wait()
            with anyio.move_on_after(_DRAIN_S):
                await done.wait()
            group.cancel_scope.cancel()

    async def _pump(self, process: anyio.abc.Process, done: anyio.Event) -> None:
        assert process.stdout is not None
        room = self._bounds.output_bytes_max
        try:
            while True:
                chunk = await process.stdout.receive(_READ_BYTES)
                kept = chunk[:room]
                room -= len(kept)
                self._seen.output += kept
                if self._on_output is not None and kept:
                    self._on_output(kept)
                if len(kept) < len(chunk):
                    self._seen.truncated = True
                    self._stop("output")
                    return
        except _PIPE_ENDED:
            return
        finally:
            done.set()

    async def _look(self) -> None:
        """Measure the tree and the workspace until cancelled or a bound is passed."""
        pause_s = _TICK_S if self._growth.needs_timed_walks else _WALK_PAUSE_S
        next_walk_s = self._clock.monotonic_s() + pause_s
        while not self._seen.stopped_by:
            await self._clock.sleep(_TICK_S)
            passed = self._passed_by_tree()
            if passed:
                self._stop(passed)
                return
            started_s = self._clock.monotonic_s()
            if not self._growth.roots or not (self._growth.suspicious() or started_s >= next_walk_s):
                continue
            if await self._walk():
                self._stop("workspace")
                return
            ended_s = self._clock.monotonic_s()
            next_walk_s = ended_s + pause_s + _WALK_SHARE * (ended_s - started_s)

    def _passed_by_tree(self) -> StoppedBy:
        if not self._tree.root:
            return ""
        use = tree_use(self._tree.root, self._bounds.processes_max, self._bounds.memory_bytes_max)
        if use.processes > self._bounds.processes_max:
            return "processes"
        return "memory" if use.memory_bytes > self._bounds.memory_bytes_max else ""

    async def _walk(self) -> bool:
        stopped = False

        def stop() -> bool:
            return stopped

        try:
            return await anyio.to_thread.run_sync(self._growth.exceeded, stop, abandon_on_cancel=True)
        finally:
            stopped = True

    def _stop(self, why: StoppedBy) -> None:
        if not self._seen.stopped_by:
            self._seen.stopped_by = why
        self._tree.kill()

    async def _reap(self, process: anyio.abc.Process) -> None:
        self._tree.kill()
        with anyio.move_on_after(_REAP_S) as limit:
            self._seen.exit_code = await process.wait()
        if limit.cancelled_caught:
            for left in (*descendants(process.pid), process.pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(left, signal.SIGKILL)
            self._seen.exit_code = await process.wait()
        # asyncio closes a process's pipe only when it has seen its end: read what is left, and forget it.
        assert process.stdout is not None
        with anyio.move_on_after(_DRAIN_S), contextlib.suppress(*_PIPE_ENDED):
            while True:
                await process.stdout.receive(_READ_BYTES)
