"""The mounts' directory handles, and every open that goes beneath one.

Guarantees: an open here stays below its mount and follows no link, whatever was swapped in since
the gate looked; it returns regular files and directories only and never blocks on a fifo. What was
walled off (the kernel's home) does not open, whatever mount contains it.

Does not protect against hard links or bind mounts that already lead out of a mount.

Source: RFC-0008.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from typing import Final

from kernel.errors import Conflict, Invalid, NotFound, OxiosError
from kernel.gate.beneath import open_beneath_handle
from kernel.syscalls.target import PathTarget

MOUNTS_OPEN_MAX: Final = 64

_O_PATH: Final = getattr(os, "O_PATH", 0)
_CHANGED: Final = "look at it again with ls, then repeat the call"


def wall_off(*places: str) -> None:
    """Make these real directories unreachable through this module for the life of the process.

    For the kernel's home. It holds for every mount and every open, and nothing takes it back.
    """
    _walled.add(*(os.path.realpath(place) for place in places))


def walled(real: str) -> bool:
    """True where `real` is a walled-off place or lies below one."""
    return _walled.hold(real)


class Places:
    """Directories, asked about as one: two string operations, however many there are."""

    __slots__ = ("_below", "_places")

    def __init__(self, *places: str) -> None:
        self._places = frozenset(places)
        self._below = tuple(map(_prefix, places))

    def add(self, *places: str) -> None:
        self._places |= frozenset(places)
        self._below = tuple(map(_prefix, self._places))

    def hold(self, real: str) -> bool:
        """True where `real` is one of them or lies below one."""
        return real in self._places or real.startswith(self._below)


def open_target(target: PathTarget, flags: int, mode: int = 0o644) -> int:
    """A descriptor of the target, which the caller closes. Follows no link.

    Raises: NotFound; Conflict, where the place changed since the gate resolved it; Invalid.
    """
    return open_beneath(target.mount, target.inner, flags, mode)


def open_beneath(mount: str, inner: str, flags: int, mode: int = 0o644) -> int:
    """A descriptor of `inner` below `mount`, for tools that walk directories. Follows no link.

    Only regular files and directories open; it never blocks on a fifo.

    Raises: NotFound; Conflict (a link, a device, a place that leads out); Invalid (walled off).
    """
    real = os.path.normpath(os.path.join(mount, inner))  # noqa: PTH118 -- text only, nothing is looked up
    if walled(real):
        raise Invalid(f"{real} is off limits to every agent", remedy="leave it out of the walk")
    root = mount_handle(mount)
    try:
        # openat2 refuses every flag that O_PATH has no use for.
        calm = flags if flags & _O_PATH else flags | os.O_NONBLOCK
        opened = open_beneath_handle(root.fd, inner or ".", calm, mode)
    except OSError as error:
        raise _open_error(inner or ".", error) from error
    node = os.fstat(opened).st_mode
    if stat.S_ISREG(node) or stat.S_ISDIR(node):
        return opened
    os.close(opened)
    raise Conflict(f"{inner} is no file or folder but {node_name(node)}", remedy=_CHANGED)


def open_parent(target: PathTarget, *, make: bool = False) -> tuple[int, str]:
    """The directory that holds the target, and the target's name in it: for write, rename and unlink.

    With `make`, missing directories are made on the way, each beneath the mount's handle.

    Raises: as `open_target`; Invalid, where the target is the mount itself.
    """
    folder, _, name = target.inner.rpartition("/")
    if not name:
        raise Invalid(f"{target.real} is the mount itself", remedy="name something inside it")
    if make:
        _make_folders(target.mount, folder)
    return open_beneath(target.mount, folder, os.O_RDONLY | os.O_DIRECTORY), name


class MountHandle:
    """A mount's directory, open. Closed when the last user lets go of it, never under one."""

    __slots__ = ("fd", "identity", "path")

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        node = os.fstat(self.fd)
        self.identity = (node.st_dev, node.st_ino)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def _prefix(place: str) -> str:
    return place if place.endswith("/") else f"{place}/"


_walled: Final = Places()
_handles: OrderedDict[str, MountHandle] = OrderedDict()


def mount_handle(path: str) -> MountHandle:
    """The mount's open directory; opened anew where another directory took its place.

    Raises: Conflict, where it cannot be opened or `path` is not its real path.
    """
    held = _handles.get(path)
    try:
        node = os.stat(path)  # noqa: PTH116 -- 1 µs; pathlib's takes three
        if held is not None and held.identity == (node.st_dev, node.st_ino):
            return held
        if os.path.realpath(path) != path:
            raise Conflict(f"the mount {path} is really {os.path.realpath(path)}", remedy="name it by its real path")
        held = MountHandle(path)
    except OSError as error:
        raise Conflict(
            f"the mount {path} cannot be opened ({error.strerror})", remedy="make the directory, or mount another"
        ) from error
    _handles[path] = held
    while len(_handles) > MOUNTS_OPEN_MAX:
        _handles.popitem(last=False)
    return held


def _make_folders(mount: str, folder: str) -> None:
    parts = folder.split("/") if folder else []
    for depth in range(1, len(parts) + 1):
        parent = open_beneath(mount, "/".join(parts[: depth - 1]), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.mkdir(parts[depth - 1], 0o755, dir_fd=parent)
        except FileExistsError:
            continue
        except OSError as error:
            raise _open_error("/".join(parts[:depth]), error) from error
        finally:
            os.close(parent)


def inside(real: str, place: str) -> bool:
    return real == place or real.startswith(_prefix(place))


def _open_error(inner: str, error: OSError) -> OxiosError:
    match error.errno:
        case errno.ENOENT:
            return NotFound(f"{inner!r} is not there any more", remedy=_CHANGED)
        case errno.ELOOP | errno.EXDEV | errno.ENOTDIR | errno.EAGAIN | errno.ENXIO:
            return Conflict(f"{inner!r} changed into something else since it was checked", remedy=_CHANGED)
        case errno.EEXIST:
            return Conflict(f"{inner!r} is there already", remedy=_CHANGED)
        case _:
            return Invalid(f"{inner!r} cannot be opened ({error.strerror})", remedy="check its rights with ls")


def node_name(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a fifo"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISLNK, "a link"),
    )
    return next((name for test, name in kinds if test(mode)), "a special file")
