"""What a user begins with: sessions, the persona in force, directories, in the workspace that is theirs.

Guarantees: where nothing else is said, agents work in the user's own workspace, as the active persona. What
may be mounted is judged as for the command line, and by the gate when the agent starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernel.directive import Budget, Mount
from kernel.errors import AccessDenied
from kernel.handle.persona import active_persona
from kernel.persona import Persona, load_personas, pick
from ouroboros.seed import SeedMount
from ouroboros.session import Session
from ouroboros.sessionbook import Making, create
from ouroboros.workspace import Places, resolve_mounts
from webui.desk import Desk

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a new session is to be; empty texts are the settings' own."""

    name: str = ""
    model: str = ""
    persona: str = ""
    approve: str = ""
    workspace: str = ""


async def begin_session(desk: Desk, wanted: Beginning) -> Session:
    """What the first message goes into.

    Raises: AccessDenied, Invalid (name, workspace), NotFound (persona, model), Conflict (the persona is disabled),
    JournalDown.
    """
    cycle = desk.kernel.settings.cycle
    persona = await persona_of(desk, wanted.persona)
    if wanted.model:
        desk.kernel.supervisor.desk.provider_of(wanted.model)
    money = None if cycle.session_usd_max is None else round(cycle.session_usd_max * _MICRO)
    making = Making(
        owner=desk.user.principal,
        mounts=mounts_of(desk, workspace=wanted.workspace),
        name=wanted.name,
        model=wanted.model,
        persona=persona.id if persona else "",
        approve=wanted.approve,
        budget=Budget(tokens_max=cycle.session_tokens_max, micro_usd_max=money),
    )
    return await create(desk.kernel.journal, making, desk.kernel.clock.now_us())


async def persona_of(desk: Desk, name: str) -> Persona | None:
    """The persona of this name, or without one the active one. Raises: NotFound; Conflict, where it is disabled."""
    name = name or await active_persona(desk.kernel.journal, desk.kernel.settings.persona.default)
    return pick(load_personas(desk.kernel.settings.home), name) if name else None


def require_worker(desk: Desk) -> None:
    """Sessions are recorded without a syscall of their own: who may begin no run has none to talk in.

    Raises: AccessDenied.
    """
    if not desk.may("kernel:runs", "w"):
        raise AccessDenied(
            f"{desk.user.name} may not work with agents", layer="role", need="kernel:runs w", remedy="ask the operator"
        )


def mounts_of(desk: Desk, mounts: Sequence[SeedMount] = (), *, workspace: str = "") -> tuple[Mount, ...]:
    """Raises: AccessDenied, Invalid."""
    require_worker(desk)
    own = desk.house.workspace(desk.user)
    places = Places(cwd=own, user_home=Path.home(), kernel_home=desk.kernel.settings.home)
    return resolve_mounts(mounts, places, directory=own, workspace=workspace)
