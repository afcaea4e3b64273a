"""Ending the server of a home from outside.

Guarantees: only the process that holds the home's lock and wrote its record is signalled, by a handle
that cannot come to mean another process meanwhile.
"""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import Final

from kernel.errors import Unavailable
from oxios.server.record import serving

_MS: Final = 1_000


def stop(home: Path, *, wait_s: float, now: bool = False) -> int | None:
    """The process that was stopped; None where no server works in `home`.

    Raises: Unavailable, where it still runs after `wait_s`.
    """
    record = serving(home)
    if record is None:
        return None
    try:
        handle = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    try:
        if serving(home) != record:
            return None
        signal.pidfd_send_signal(handle, signal.SIGKILL if now else signal.SIGTERM)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        if not ended.poll(max(0.0, wait_s) * _MS):
            raise Unavailable(
                f"the server (process {record.pid}) has not ended within {wait_s:g} s",
                remedy="wait longer with --wait, or end it at once: oxios stop --now",
            )
    finally:
        os.close(handle)
    return record.pid
