"""The log of a server in the background: `logs/server.log` in the home.

Guarantees: it is for its owner's eyes, and bounded: one of LOG_BYTES_MAX or more is moved aside to `server.log.1`
at a start, and within TURN_S in a server that goes on for months. Following goes on across that.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from pathlib import Path
from typing import IO, Final

import anyio

from kernel.clock import Clock, SystemClock
from kernel.errors import NotFound
from kernel.log import get_logger

LOG_BYTES_MAX: Final = 8 * 1024 * 1024
LOOK_S: Final = 0.2
TURN_S: Final = 60.0
_OUTPUTS: Final = (1, 2)
_log = get_logger("serve")


def log_path(home: Path) -> Path:
    return home / "logs" / "server.log"


def open_log(home: Path) -> int:
    """A descriptor to append to. Raises: OSError."""
    path = log_path(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size >= LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def turn_over(home: Path) -> bool:
    """Begin a new log where this process's output is one that has grown too large; whether it did.

    Raises: OSError.
    """
    written, path = os.fstat(_OUTPUTS[-1]), log_path(home)
    if written.st_size < LOG_BYTES_MAX or not path.exists() or not os.path.samestat(written, path.stat()):
        return False
    log = open_log(home)
    for output in _OUTPUTS:
        os.dup2(log, output)
    os.close(log)
    return True


async def keep_short(home: Path, clock: Clock) -> None:
    """Turn the log over in time, until cancelled."""
    while True:
        await clock.sleep(TURN_S)
        try:
            turn_over(home)
        except OSError as error:
            _log.warning("log_not_turned_over", why=error.strerror)


def tail(home: Path, lines: int) -> list[str]:
    """The last lines. Raises: NotFound."""
    try:
        with log_path(home).open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, lines)]
    except FileNotFoundError:
        raise NotFound(
            f"there is no log in {home}",
            remedy="`oxios serve --background` keeps one; a service's is in `journalctl`",
        ) from None


def follow(home: Path) -> None:
    """Print what is appended from now on, until interrupted."""
    anyio.run(_follow, log_path(home))


async def _follow(path: Path) -> None:
    clock = SystemClock()
    file = path.open(encoding="utf-8", errors="replace")
    file.seek(0, os.SEEK_END)
    while True:
        text = file.read()
        sys.stdout.write(text)
        sys.stdout.flush()
        if not text:
            if _moved(path, file):
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
            await clock.sleep(LOOK_S)


def _moved(path: Path, file: IO[str]) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
