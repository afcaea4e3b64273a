"""Denied places inside a workspace, covered for a sandboxed command.

Guarantees: a place below a bind is an empty, closed directory (an empty file) inside; neither it nor
a directory on the way to it can be moved or removed there, so it is found under no other name
afterwards. A place that is not there cannot be made where the bind is writable: for as long as a
command runs, an empty directory stands in its place, also outside.

Does not protect against hard links to a denied file that stand elsewhere, nor against bind mounts
of it. Where this process is killed, the empty directories stay.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kernel.errors import SandboxDown
from kernel.ports.sandbox import Bind

_made: Final[Counter[str]] = Counter()
"""How many commands need each directory that was made here: one that ends must not uncover another's."""


def holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def inside(places: Iterable[str], binds: Iterable[Bind]) -> list[tuple[str, Bind]]:
    """Those of `places`, by their real paths, that lie in a bind, with the outermost such bind."""
    outermost = sorted(binds, key=lambda bind: len(bind.path))
    real = dict.fromkeys(os.path.realpath(place) for place in places)
    found = ((place, next((bind for bind in outermost if holds(bind.path, place)), None)) for place in real)
    return [(place, bind) for place, bind in found if bind is not None]


@contextmanager
def standing(places: Iterable[str], binds: Sequence[Bind]) -> Generator[None]:
    """While this lasts there is something to cover at every place in a writable bind.

    Raises: SandboxDown, where that cannot be made.
    """
    missing = [folder for place, bind in inside(places, binds) if bind.writable for folder in _missing(place, bind)]
    _made.update(missing)
    try:
        for folder in missing:
            _make(folder)
        yield
    finally:
        _made.subtract(missing)
        for folder in reversed(missing):
            if _made[folder] <= 0:
                del _made[folder]
                with suppress(OSError):  # Somebody put something into it, or removed it.
                    Path(folder).rmdir()


def pins(places: Iterable[str], binds: Sequence[Bind]) -> tuple[Bind, ...]:
    """The directories on the way to the places, to be bound too: what is mounted on cannot be renamed."""
    bound = {bind.path for bind in binds}
    found = dict.fromkeys(folder for place, bind in inside(places, binds) for folder in _between(bind, place))
    return tuple(Bind(folder, _writable(folder, binds)) for folder in found if folder not in bound and _there(folder))


def options(places: Iterable[str], binds: Sequence[Bind]) -> Iterator[str]:
    """Bubblewrap's options, to come after those of the binds and pins."""
    for place, _bind in inside(places, binds):
        if Path(place).is_dir():
            yield from ("--perms", "0000", "--tmpfs", place, "--remount-ro", place)
        elif _there(place):
            yield from ("--ro-bind", "/dev/null", place)


def _make(folder: str) -> None:
    # Where a file stands in the way it is pinned; where we may not write, the command may not either.
    try:
        with suppress(FileExistsError, NotADirectoryError, PermissionError):
            Path(folder).mkdir(mode=0o700)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise SandboxDown(
                f"{folder} is denied to agents and cannot be covered ({error.strerror})",
                remedy="choose a workspace that does not hold it",
            ) from error


def _missing(place: str, bind: Bind) -> list[str]:
    """The directories that are not there, or only for such a command, outermost first."""
    return [folder for folder in (*_between(bind, place), place) if folder in _made or not _there(folder)]


def _between(bind: Bind, place: str) -> list[str]:
    """The directories strictly between, outermost first."""
    root = bind.path.rstrip("/")
    parts = place[len(root) + 1 :].split("/")[:-1]
    return [f"{root}/{'/'.join(parts[: count + 1])}" for count in range(len(parts))]


def _writable(folder: str, binds: Iterable[Bind]) -> bool:
    """What the innermost bind that holds it says."""
    return max((bind for bind in binds if holds(bind.path, folder)), key=lambda bind: len(bind.path)).writable


def _there(path: str) -> bool:
    return os.path.lexists(path)
