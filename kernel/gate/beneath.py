"""Opening names beneath a directory handle, so that no link, `..` or rename can lead out of it.

Guarantees: every handle returned lies below the root handle at the moment it was opened. Where the
kernel has openat2 (Linux 5.6), it resolves the whole name itself with RESOLVE_BENEATH; where it
has not, or a filter forbids it, names are walked one component at a time with O_NOFOLLOW.

Does not protect against hard links and bind mounts that already stand below the root, and says
nothing about where the root itself is: `kernel.gate.paths` decides that.

Source: openat2(2), open_how; RFC-0008.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from functools import cache
from typing import Final

_OPENAT2: Final = 437  # The same number on every architecture that Python 3.11 runs on but alpha.
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RACES_MAX: Final = 8
_LINKS_MAX: Final = 40

_O_PATH: Final = getattr(os, "O_PATH", os.O_RDONLY)
_BASE: Final = os.O_CLOEXEC


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW_BYTES: Final = ctypes.sizeof(_OpenHow)


def handle_beneath(root: int, inner: str, *, directory: bool = False) -> int:
    """An O_PATH handle of `inner`, following links that stay beneath `root`. No data is reachable by it.

    Raises: OSError; EXDEV where a link or `..` leads out, or a link is absolute.
    """
    flags = _O_PATH | (os.O_DIRECTORY if directory else 0)
    if openat2_works():
        return _openat2(root, inner, flags, 0, follow=True)
    return _walk(root, inner, flags, follow=True)


def open_beneath_handle(root: int, inner: str, flags: int, mode: int = 0o644) -> int:
    """Open `inner` beneath `root`, following no link at all.

    The open is announced to CPython's audit hooks as `open`, since they do not see openat2.

    Raises: OSError; ELOOP where any component is a link, EXDEV where `..` leads out.
    """
    sys.audit("open", inner, None, flags)
    if openat2_works():
        return _openat2(root, inner, flags, mode, follow=False)
    folder, _, name = inner.rstrip("/").rpartition("/")
    if not name or name in {".", ".."}:
        return _walk(root, inner, flags, follow=False)
    parent = _walk(root, folder, _O_PATH | os.O_DIRECTORY, follow=False)
    try:
        # O_PATH | O_NOFOLLOW opens a link itself instead of refusing it; O_DIRECTORY or data flags refuse it.
        return os.open(name, flags | _BASE | os.O_NOFOLLOW, mode, dir_fd=parent)
    finally:
        os.close(parent)


@cache
def openat2_works() -> bool:
    """Ask the kernel once: ENOSYS before Linux 5.6, EPERM behind an old seccomp filter."""
    if not sys.platform.startswith("linux") or not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 -- a probe, not a path
        return False
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_openat2(root, ".", _O_PATH, 0, follow=True))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
    return libc


def _openat2(root: int, inner: str, flags: int, mode: int, *, follow: bool) -> int:
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | (0 if follow else _RESOLVE_NO_SYMLINKS)
    # openat2 refuses a mode without O_CREAT, which open(2) ignores.
    how = _OpenHow(flags | _BASE, mode if flags & os.O_CREAT else 0, resolve)
    name = os.fsencode(inner) or b"."
    code = 0
    for _ in range(_RACES_MAX):
        fd = _libc().syscall(_OPENAT2, root, name, how, _HOW_BYTES)
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        # A rename elsewhere made the kernel unsure that `..` stayed beneath: it asks us to try again.
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code), inner)


def _walk(root: int, inner: str, flags: int, *, follow: bool) -> int:
    """Component by component; `..` goes back along the handles we came by, never above `root`."""
    pending = [part for part in reversed(inner.split("/")) if part]
    trail = [os.dup(root)]
    links = 0
    try:
        while pending:
            part = pending.pop()
            if part in {".", ".."} and not _is_dir(trail[-1]):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), inner)
            if part == ".":
                continue
            if part == "..":
                if len(trail) == 1:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), inner)
                os.close(trail.pop())
                continue
            opened = os.open(part, _O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=trail[-1])
            link = _link(opened)
            if link is None:
                trail.append(opened)
                continue
            os.close(opened)
            links += 1
            if not follow or links > _LINKS_MAX:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), inner)
            if link.startswith("/"):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), inner)
            pending.extend(piece for piece in reversed(link.split("/")) if piece)
        return os.open(".", flags | _BASE, dir_fd=trail[-1]) if _is_dir(trail[-1]) else _last(trail, flags, inner)
    finally:
        for handle in trail:
            os.close(handle)


def _last(trail: list[int], flags: int, inner: str) -> int:
    if flags & os.O_DIRECTORY:
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), inner)
    return os.dup(trail[-1])


def _link(handle: int) -> str | None:
    """What the handle's link says, or None where it is no link."""
    try:
        return os.readlink("", dir_fd=handle)
    except OSError:
        return None


def _is_dir(handle: int) -> bool:
    return stat.S_ISDIR(os.fstat(handle).st_mode)
