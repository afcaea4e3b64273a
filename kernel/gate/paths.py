"""Paths as a model writes them, made real by directory handle.

Guarantees: a `PathTarget` names a regular file or a directory (or a place where one may be made)
that was inside one of the mounts and outside everything denied when it was resolved; and
`open_target` cannot leave that mount or follow a link, whatever was swapped in between. Links
inside the workspace may be followed while resolving, never out of the mounts. Deny beats allow.
What was walled off (the kernel's home) cannot be named, opened or walked into.

Does not protect against hard links or bind mounts that already lead out of a mount, nor against
processes that `exec` starts: the sandbox is their boundary.

Source: RFC-0008.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from kernel.capability.rights import Rights
from kernel.directive import Mount
from kernel.errors import Conflict
from kernel.gate.beneath import handle_beneath
from kernel.gate.decision import Case, Denied, LayerName
from kernel.gate.mounts import (
    MountHandle,
    Places,
    inside,
    mount_handle,
    node_name,
    open_beneath,
    open_parent,
    open_target,
    wall_off,
    walled,
)
from kernel.syscalls.target import PathClaim, PathTarget

PATH_BYTES_MAX: Final = 4_095
NAME_BYTES_MAX: Final = 255
__all__ = ["PathLayer", "check_real", "open_beneath", "open_parent", "open_target", "resolve_path", "wall_off"]


def resolve_path(claim: PathClaim, mounts: tuple[Mount, ...], denied: tuple[str, ...]) -> PathTarget | Denied:
    """Make a written path real. `mounts` and `denied` are absolute and real; the first mount is the workspace.

    A refusal reads the same whether or not the place outside the mounts exists.
    """
    flaw = _flaw(claim.path)
    if flaw is not None:
        return flaw
    if not mounts:
        return _denied(f"{claim.path!r} cannot be reached: this run has no workspace", "give the Seed a mount")
    try:
        found = _locate(claim, mounts)
    except OSError as error:
        return _refusal(claim, error)
    except Conflict as error:
        return _denied(error.message, error.remedy)
    if isinstance(found, Denied):
        return found
    if not _is_text(found.real):
        return _denied(f"{claim.path!r} leads to a name that is not UTF-8", "rename it with exec, then use that name")
    return check_real(found.real, claim.right, mounts, denied, written=claim.path) or found


def check_real(
    real: str, right: Rights, mounts: tuple[Mount, ...], denied: tuple[str, ...], *, written: str = ""
) -> Denied | None:
    """The policy on one real path: deny beats allow, the innermost mount's mode decides writing."""
    name = written or real
    mount = _mount_of(real, mounts)
    if mount is None:
        return _outside(name, mounts)
    places = _places(denied)
    if walled(real) or walled(mount.path) or places.hold(real) or places.hold(mount.path):
        return _denied(f"{name!r} is off limits to every agent", "no grant changes this; work in the workspace")
    if mount.mode == "ro" and right & Rights.WRITE:
        return _denied(f"{name!r} is in {mount.path}, which is read-only", "write below a mount whose mode is rw")
    return None


@lru_cache(maxsize=64)
def _places(denied: tuple[str, ...]) -> Places:
    """The same few tuples are asked about in every decision."""
    return Places(*denied)


@dataclass(frozen=True, slots=True)
class _Place:
    mount: MountHandle
    inner: str


class PathLayer:
    """Checks again, on the resolved needs, what `resolve_path` promised: deny beats allow, ro is ro.

    Making one walls off everything it denies, so that no body can open it either.
    """

    name: LayerName = "paths"

    def __init__(self, denied: tuple[str, ...]) -> None:
        self.denied = tuple(os.path.realpath(place) for place in denied)
        wall_off(*self.denied)

    async def check(self, case: Case) -> Denied | None:
        for need in case.needs:
            if need.resource.kind != "file":
                continue
            real = "/" + "/".join(need.resource.segments)
            refused = check_real(real, need.right, case.request.mounts, self.denied)
            if refused is not None:
                return replace(refused, need=str(need))
        return None


def _locate(claim: PathClaim, mounts: tuple[Mount, ...]) -> PathTarget | Denied:
    """Open the claim's place by handle and read back where it really is."""
    place = _place(claim.path, mounts)
    if isinstance(place, Denied):
        return place
    try:
        return _existing(claim, place, mounts)
    except FileNotFoundError:
        if not claim.missing_ok:
            raise
    return _missing(claim, place, mounts)


def _place(written: str, mounts: tuple[Mount, ...]) -> _Place | Denied:
    """Which mount the written path starts in, and the part below it; nothing is collapsed yet."""
    if not written.startswith("/"):
        mount, inner = mounts[0], written
    else:
        within = _mount_of(_tidy(written), mounts) if ".." not in written.split("/") else None
        if within is None:
            return _elsewhere(written, mounts)
        mount, inner = within, _tidy(written)[len(within.path) :].lstrip("/")
    return _Place(mount_handle(mount.path), inner)


def _elsewhere(written: str, mounts: tuple[Mount, ...]) -> _Place | Denied:
    """An absolute path that names no mount as it stands may still lead into one by links or `..`."""
    real = os.path.realpath(written)
    mount = _mount_of(real, mounts)
    if mount is None:
        return _outside(written, mounts)
    return _Place(mount_handle(mount.path), real[len(mount.path) :].lstrip("/"))


def _existing(claim: PathClaim, place: _Place, mounts: tuple[Mount, ...]) -> PathTarget | Denied:
    if place.inner in {"", "."}:
        # The mount itself: its handle is open, and was just compared with what its path names.
        return _target(claim, _real(place.mount.fd), mounts, exists=True, is_dir=True)
    try:
        handle = handle_beneath(place.mount.fd, place.inner or ".", directory=claim.path.endswith("/"))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # An absolute link, or one from mount to mount, may still end inside; then it is real and link-free.
        again = _elsewhere(os.path.join(place.mount.path, place.inner), mounts)  # noqa: PTH118 -- text only
        if isinstance(again, Denied):
            return _outside(claim.path, mounts)
        handle = handle_beneath(again.mount.fd, again.inner or ".")
    try:
        real = _real(handle)
        node = os.fstat(handle)
    finally:
        os.close(handle)
    if node.st_nlink == 0:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), claim.path)
    if not (stat.S_ISREG(node.st_mode) or stat.S_ISDIR(node.st_mode)):
        return _denied(f"{claim.path!r} is {node_name(node.st_mode)}", "only files and folders can be used")
    return _target(claim, real, mounts, exists=True, is_dir=stat.S_ISDIR(node.st_mode))


def _real(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 -- pathlib would normalise what the kernel says


def _missing(claim: PathClaim, place: _Place, mounts: tuple[Mount, ...]) -> PathTarget | Denied:
    """Resolve the nearest ancestor that exists; what follows it is names only."""
    parts = [part for part in place.inner.split("/") if part and part != "."]
    for kept in range(len(parts) - 1, -1, -1):
        tail = parts[kept:]
        if ".." in tail:
            return _denied(f"{claim.path!r} has .. after a folder that does not exist", "write the path without ..")
        ancestor = PathClaim("/".join((place.mount.path, *parts[:kept])), claim.right)
        try:
            found = _existing(ancestor, _Place(place.mount, "/".join(parts[:kept])), mounts)
        except FileNotFoundError:
            continue
        if isinstance(found, Denied):
            return _outside(claim.path, mounts)
        if not found.is_dir:
            return _denied(f"{claim.path!r} goes through {found.inner!r}, which is a file", "name another folder")
        if os.path.islink(f"{found.real}/{tail[0]}"):  # noqa: PTH114 -- a kinder message; opening refuses it anyway
            return _denied(f"{claim.path!r} goes through a link that leads nowhere", "name the place it should be")
        return _target(claim, "/".join((found.real.rstrip("/"), *tail)), mounts, exists=False, is_dir=False)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), claim.path)


def _target(
    claim: PathClaim, real: str, mounts: tuple[Mount, ...], *, exists: bool, is_dir: bool
) -> PathTarget | Denied:
    mount = _mount_of(real, mounts)
    if mount is None:
        return _outside(claim.path, mounts)
    return PathTarget(mount.path, real[len(mount.path) :].lstrip("/"), real, exists, is_dir)


def _mount_of(real: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """The innermost mount that holds `real`."""
    best: Mount | None = None
    for mount in mounts:
        if inside(real, mount.path) and (best is None or len(mount.path) > len(best.path)):
            best = mount
    return best


def _tidy(written: str) -> str:
    return "/" + "/".join(part for part in written.split("/") if part and part != ".")


def _is_text(real: str) -> bool:
    """False for a file name of other bytes than UTF-8: neither the journal nor a model could name it."""
    if real.isascii():
        return True
    try:
        real.encode()
    except UnicodeEncodeError:
        return False
    return True


def _flaw(written: str) -> Denied | None:
    """What is wrong with the text itself."""
    if not written.strip():
        return _denied("the path is empty", "use . for the workspace")
    if "\0" in written:
        return _denied(f"{written!r} has a NUL character in it", "no file name can hold one")
    try:
        size = len(os.fsencode(written))
    except UnicodeEncodeError:
        return _denied(f"{written!r} cannot be written as UTF-8", "leave out the broken characters")
    long = size > NAME_BYTES_MAX and any(len(os.fsencode(part)) > NAME_BYTES_MAX for part in written.split("/"))
    if long or size > PATH_BYTES_MAX:
        return _denied(
            f"{written[:60]!r}… is too long for a path of {size} bytes",
            f"at most {PATH_BYTES_MAX} bytes in all and {NAME_BYTES_MAX} in one name",
        )
    if written == "~" or written.startswith("~/"):
        return _denied(f"{written!r} starts with ~, which is not expanded", "write a path below the workspace")
    return None


def _refusal(claim: PathClaim, error: OSError) -> Denied:
    match error.errno:
        case errno.ENOENT:
            return _denied(f"{claim.path!r} does not exist", "look with ls or find, and mind capital letters")
        case errno.ENOTDIR:
            return _denied(f"{claim.path!r} goes through something that is no folder", "look with ls")
        case errno.ELOOP:
            return _denied(f"{claim.path!r} goes round in links", "name the real file")
        case _:
            return _denied(f"{claim.path!r} cannot be reached ({error.strerror})", "check its rights with ls")


def _outside(written: str, mounts: tuple[Mount, ...]) -> Denied:
    places = ", ".join(mount.path for mount in mounts[:4])
    return _denied(f"{written!r} is outside the workspace", f"use a path below {places}")


def _denied(reason: str, remedy: str) -> Denied:
    return Denied("paths", reason, remedy)
