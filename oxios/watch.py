"""Showing on stderr what the runs of this process do, while a block runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kernel.journal.entry import SYSTEM_STREAM, Entry
from kernel.runtime.live import LiveEvent
from oxios.live import LiveView
from oxios.paint import painter
from oxios.seat import heard_here, ours

if TYPE_CHECKING:
    from kernel.boot import Kernel


@asynccontextmanager
async def watched(kernel: Kernel, args: argparse.Namespace) -> AsyncGenerator[None]:
    """Inside, every committed entry of every run of this command is shown, unless -q."""
    if args.quiet:
        yield
        return
    views: dict[str, LiveView] = {}
    paint = painter(args, sys.stderr)

    def hear(entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            if entry.stream != SYSTEM_STREAM and ours(entry.stream):
                views.setdefault(entry.stream, LiveView(paint)).entry(entry)

    def event(live: LiveEvent) -> None:
        if ours(live.run):
            view.event(live)

    view = LiveView(paint)
    end = kernel.journal.subscribe(heard_here(hear))
    quiet = kernel.bus.subscribe(None, heard_here(event))
    try:
        yield
    finally:
        end()
        quiet()
