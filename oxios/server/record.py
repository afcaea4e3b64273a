"""`server.json` in the home: which process serves it, where, and since when.

Guarantees: it is written whole or not at all, for its owner's eyes. What `serving` returns is of a process
that holds the home's lock now, whatever a crash left in the file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

RECORD_NAME: Final = "server.json"
_LOCK_NAME: Final = "lock"


@dataclass(frozen=True, slots=True)
class Record:
    pid: int
    url: str
    """What browsers call it."""
    address: str
    """Where it listens: HOST:PORT, as this machine reaches it."""
    started_us: int
    version: str


@contextmanager
def recorded(home: Path, record: Record) -> Generator[None]:
    """Inside, the file says so; after it there is none."""
    path = home / RECORD_NAME
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
    fresh.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def serving(home: Path) -> Record | None:
    """Who serves the home now; None where nobody does."""
    record = _read(home / RECORD_NAME)
    return record if record is not None and record.pid == lock_holder(home) else None


def lock_holder(home: Path) -> int | None:
    """The process that holds the home's lock; None where it is free."""
    try:
        descriptor = os.open(home / _LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(ValueError):
            return int(os.read(descriptor, 32))
    finally:
        os.close(descriptor)
    return None


def _read(path: Path) -> Record | None:
    try:
        said = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        pid, started_us = int(said["pid"]), int(said["started_us"])
        return Record(pid, str(said["url"]), str(said["address"]), started_us, str(said["version"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
