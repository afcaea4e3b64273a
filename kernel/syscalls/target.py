"""What a call's arguments name, before and after the gate resolves it.

A syscall declares *claims* computed from its parsed arguments (a path as the model wrote it, a
command line, a URL). The gate resolves each claim once into a *target* and into `Need`s, checks
the needs, and hands the target on in the permit: nothing is checked twice and opened once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kernel.capability.resource import Kind
from kernel.capability.rights import Rights


@dataclass(frozen=True, slots=True)
class PathClaim:
    """A path as written, relative to the workspace or absolute. With `missing_ok` it need not exist."""

    path: str
    right: Rights
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class CommandClaim:
    """A program and its arguments; `shell` where `argv` is one line for `bash -c`."""

    argv: tuple[str, ...]
    shell: bool = False
    network: bool = False


@dataclass(frozen=True, slots=True)
class UrlClaim:
    url: str


@dataclass(frozen=True, slots=True)
class NameClaim:
    """A resource that needs no resolving: `model:openai/x`, `ask:user`, `search:web`."""

    kind: Kind
    name: str
    right: Rights


Claim: TypeAlias = PathClaim | CommandClaim | UrlClaim | NameClaim


@dataclass(frozen=True, slots=True)
class PathTarget:
    """A path made real: `mount` contains it, `real` is absolute and free of links, `inner` is the
    part below the mount. Open it with `kernel.gate.paths.open_target`, beneath the mount's
    directory handle, never by `real`.
    """

    mount: str
    inner: str
    real: str
    exists: bool
    is_dir: bool


@dataclass(frozen=True, slots=True)
class CommandTarget:
    argv: tuple[str, ...]
    shell: bool
    programs: tuple[str, ...]
    """Base names of every program that could be seen in the command line."""
    network: bool


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """A URL whose host was resolved once; connect to `addresses` only."""

    url: str
    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameTarget:
    kind: Kind
    name: str


Target: TypeAlias = PathTarget | CommandTarget | UrlTarget | NameTarget
