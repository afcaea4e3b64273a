"""The sandbox port: run one process, confined, and return what it printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Tier: TypeAlias = Literal["bubblewrap", "none"]
StoppedBy: TypeAlias = Literal["", "deadline", "output", "workspace", "processes", "memory"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process tree may use. A workspace bound counts the growth this process caused;
    `tmp_bytes_max` is the size of its private /tmp, which lies in memory.
    """

    deadline_s: float = 120.0
    memory_bytes_max: int = 1024 * 1024 * 1024
    processes_max: int = 128
    descriptors_max: int = 256
    output_bytes_max: int = 4 * 1024 * 1024
    workspace_bytes_max: int = 1024 * 1024 * 1024
    workspace_files_max: int = 50_000
    tmp_bytes_max: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bind:
    """A directory the process sees at the same path."""

    path: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `env` is the whole environment but for PATH, HOME, LANG and TERM, which the
    sandbox sets itself.
    """

    argv: tuple[str, ...]
    cwd: str
    binds: tuple[Bind, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    stdin: bytes = b""
    network: bool = False
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Finished:
    """How it ended. `stopped_by` names the bound that ended it, or is empty."""

    exit_code: int
    output: bytes
    """stdout and stderr, interleaved as they came."""
    truncated: bool
    duration_ms: int
    tier: Tier
    stopped_by: StoppedBy = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Which tier is in force, whether it works here, why, and what would make it work."""

    tier: Tier
    works: bool
    reason: str
    remedy: str = ""


class Sandbox(Protocol):
    """Runs a command so that its whole process tree is gone when `run` returns or is cancelled."""

    async def run(self, command: Command, on_output: Callable[[bytes], None] | None = None) -> Finished:
        """Raises: SandboxDown (the tier in force cannot run here), NotFound (no such program)."""
        ...

    async def probe(self) -> Probe:
        """Really start a process in the sandbox and look."""
        ...
