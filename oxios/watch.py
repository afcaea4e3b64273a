"""Showing on stderr what the runs of this process do, while a block runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kernel.journal.entry import SYSTEM_STREAM, Entry
from oxios.live import LiveView
from oxios.paint import painter

if TYPE_CHECKING:
    from kernel.boot import Kernel


@asynccontextmanager
async def watched(kernel: Kernel, args: argparse.Namespace) -> AsyncGenerator[None]:
    """Inside, every committed entry of every run is shown, unless -q."""
    if args.quiet:
        yield
        return
    views: dict[str, LiveView] = {}
    paint = painter(args, sys.stderr)

    def hear(entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            if entry.stream != SYSTEM_STREAM:
                views.setdefault(entry.stream, LiveView(paint)).entry(entry)

    end = kernel.journal.subscribe(hear)
    quiet = kernel.bus.subscribe(None, LiveView(paint).event)
    try:
        yield
    finally:
        end()
        quiet()
