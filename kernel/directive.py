"""What one agent is asked to do, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from kernel.jsontypes import JsonObject

MountMode: TypeAlias = Literal["ro", "rw"]


@dataclass(frozen=True, slots=True)
class Entity:
    """One thing of the goal's domain."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file that comes with the goal, by the digest of its bytes, which the journal keeps as a blob."""

    name: str
    media_type: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Directive:
    """Goal, constraints, criteria, schema: what one agent is given. `criteria` are plain text here."""

    goal: str
    original_request: str = ""
    constraints: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()
    entities: tuple[Entity, ...] = ()
    output_schema: JsonObject | None = None
    attached: tuple[AttachedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A real, absolute directory that the agent may see; the first of a run is its workspace."""

    path: str
    mode: MountMode = "rw"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend; None is unbounded. Money is in micro-dollars."""

    tokens_max: int | None = None
    calls_max: int | None = None
    micro_usd_max: int | None = None
    seconds_max: float | None = None


@dataclass(frozen=True, slots=True)
class ExecEnv:
    """Where and as whom: mounts, persona (text only), model, hint, budget."""

    mounts: tuple[Mount, ...]
    workspace_context: str = ""
    persona: str = ""
    persona_prompt: str = ""
    persona_role: str = ""
    model: str = ""
    """`provider/model`; empty for the configured default."""
    cspace_hint: str = ""
    budget: Budget = Budget()
