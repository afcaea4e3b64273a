"""One kernel a home: a file lock that its holder's death releases.

Guarantees: while it is held no other process can take it, and a process that dies, however, leaves
it free. The file keeps the last holder's pid and is never removed: removing it would let two
processes lock two files of one name.
Does not protect homes on network file systems without working `flock`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kernel.errors import InstanceLocked

_PID_BYTES_MAX: Final = 32


@contextmanager
def instance_lock(home: Path) -> Generator[None]:
    """Hold `home` as the only writer.

    Raises: InstanceLocked, naming the holder's pid; also where the lock file cannot be used.
    """
    path = home / "lock"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InstanceLocked(
            f"{path} cannot be opened: {error.strerror}", remedy="check the home's owner and modes"
        ) from error
    try:
        _take(descriptor, home)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        # Closing releases it; a child that inherited nothing (O_CLOEXEC) cannot keep it.
        os.close(descriptor)


def _take(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, _PID_BYTES_MAX, 0).decode(errors="replace").strip() or "unknown"
        raise InstanceLocked(
            f"another Oxios works in {home}: process {pid}",
            remedy=f"use it, stop it (kill {pid}), or give this one another home with OXIOS_HOME",
        ) from None
