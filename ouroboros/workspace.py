"""From the mounts an author wrote to directories an agent may see.

Guarantees: every mount is real, absolute, an existing directory with a name that the journal can
hold, listed once; the first is the workspace. The root, the user's home and what contains it are
refused, unless a person named them with `--workspace`; the kernel's home and what is in it are
refused always.
What this does not protect against: a directory replaced by a link after this looked. The gate
opens mounts beneath a directory handle and looks again at every call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kernel.directive import Mount, MountMode
from kernel.errors import Invalid
from ouroboros.seed import SeedMount

_SHOWN_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Places:
    """What mounts are judged by. `user_home` is the person's, `kernel_home` where Oxios keeps its own."""

    cwd: Path
    user_home: Path
    kernel_home: Path


def resolve_mounts(
    mounts: Sequence[SeedMount], places: Places, *, directory: Path, workspace: str = ""
) -> tuple[Mount, ...]:
    """`directory` is the seed file's; `workspace` takes the place of the first mount.

    Raises: Invalid, naming the mount and what to do.
    """
    found: list[Mount] = []
    if workspace:
        found.append(_real(workspace, "rw", places.cwd, places, named=True))
        mounts = mounts[1:]
    elif not mounts:
        found.append(_real(".", "rw", places.cwd, places, named=False))
    for mount in mounts:
        real = _real(mount.path, mount.mode, directory, places, named=False)
        twin = next((other for other in found if other.path == real.path), None)
        if twin is not None and twin.mode != real.mode:
            raise Invalid(f"{mount.path} is mounted both {twin.mode} and {real.mode}", remedy="keep one of the two")
        if twin is None:
            found.append(real)
    return tuple(found)


def _real(written: str, mode: MountMode, base: Path, places: Places, *, named: bool) -> Mount:
    try:
        real = (base / Path(written).expanduser()).resolve(strict=True)
    except FileNotFoundError:
        raise Invalid(f"the mount {written} does not exist", remedy=f"mkdir -p {base / written}") from None
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise Invalid(f"the mount {_shown(written)} cannot be used: {reason}", remedy="name a directory") from error
    if not real.is_dir():
        raise Invalid(f"the mount {written} is not a directory", remedy="mount the directory that holds it")
    if not _is_text(str(real)):
        reason = "its name is not UTF-8, and the journal names it"
        raise Invalid(f"the mount {written} cannot be used: {reason}", remedy="rename it, or choose another directory")
    if not os.access(real, os.R_OK | os.X_OK):
        raise Invalid(f"the mount {written} cannot be read", remedy="make it readable for you")
    _refuse(real, written, places, named=named)
    return Mount(str(real), mode)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN_CHARS_MAX else f"{name[:_SHOWN_CHARS_MAX]}…"


def _refuse(real: Path, written: str, places: Places, *, named: bool) -> None:
    kernel_home = places.kernel_home.resolve()
    if real.is_relative_to(kernel_home):
        raise Invalid(
            f"{written} is in the home of Oxios itself, where the journal and its keys are",
            remedy="no agent may work there; choose another directory",
        )
    if not named and places.user_home.resolve().is_relative_to(real):
        what = "your whole home directory" if real == places.user_home.resolve() else f"{real}, with your home in it"
        raise Invalid(
            f"{written} would give the agent {what}",
            remedy="make a directory for the work, or name it on purpose with --workspace",
        )
