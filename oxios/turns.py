"""Sessions and their turns, as commands use them: open one, carry a message through it, say how it ended.

Guarantees: a session named for the first time is made; one that exists keeps its workspace, and its
model, persona and approval mode are changed only by a flag that says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernel.directive import Budget
from kernel.errors import Invalid, NotFound
from kernel.handle.persona import active_persona
from kernel.persona import load_personas, pick
from ouroboros.cycle import TurnResult
from ouroboros.session import Session
from ouroboros.sessionbook import Making, SessionBook, create, is_id
from ouroboros.sessiondesk import SessionDesk
from ouroboros.workspace import Places, resolve_mounts
from oxios.exits import Exit
from oxios.frame import here, place, say
from oxios.seat import shared

if TYPE_CHECKING:
    from kernel.boot import Kernel

CONTEXT_BYTES_MAX: Final = 64 * 1024
_EXITS: Final = {
    "done": Exit.OK,
    "failed": Exit.RUN_FAILED,
    "waiting": Exit.PAUSED,
    "paused": Exit.PAUSED,
    "open": Exit.PAUSED,
    "stopped": Exit.STOPPED,
    "declined": Exit.STOPPED,
}
_USD: Final = 1_000_000


async def open_session(kernel: Kernel, args: argparse.Namespace) -> Session:
    """The session that the flags mean, found or made.

    Raises: NotFound (id, model, persona), Invalid (name, workspace), JournalDown.
    """
    check_flags(kernel, args)
    if args.session:
        try:
            session = await SessionBook(kernel.journal, kernel.operator).find(args.session)
        except NotFound:
            if is_id(args.session):
                raise
        else:
            session = shared(session)
            await _go_on(kernel, session, args)
            return session
    return await new_session(kernel, args, name=args.session)


async def new_session(kernel: Kernel, args: argparse.Namespace, *, name: str = "") -> Session:
    """Raises: Invalid (name, workspace), JournalDown."""
    settings = kernel.settings
    places = Places(cwd=here(), user_home=Path.home(), kernel_home=settings.home)
    cycle = settings.cycle
    money = None if cycle.session_usd_max is None else round(cycle.session_usd_max * _USD)
    persona = args.persona or await active_persona(kernel.journal, settings.persona.default)
    making = Making(
        owner=kernel.operator,
        mounts=resolve_mounts((), places, directory=places.cwd, workspace=args.workspace),
        name=name,
        model=args.model,
        persona="" if persona == "none" else persona,
        approve=args.approve,
        budget=Budget(tokens_max=cycle.session_tokens_max, micro_usd_max=money),
    )
    return shared(await create(kernel.journal, making, kernel.clock.now_us()))


def check_flags(kernel: Kernel, args: argparse.Namespace) -> None:
    """Raises: NotFound, where there is no such model or persona; Conflict, where the persona is disabled."""
    if args.model:
        kernel.supervisor.desk.provider_of(args.model)
    if args.persona and args.persona != "none":
        pick(load_personas(kernel.settings.home), args.persona)


async def _go_on(kernel: Kernel, session: Session, args: argparse.Namespace) -> None:
    if _elsewhere(args.workspace, session):
        raise Invalid(
            f"session {session.name or session.id} works in {session.workspace}",
            remedy="leave --workspace out, or begin another session there",
        )
    flags = {"model": args.model, "persona": args.persona, "approve": args.approve}
    given = {key: "" if key == "persona" and value == "none" else value for key, value in flags.items() if value}
    await SessionDesk(kernel, kernel.operator).switch(session, **given)


def _elsewhere(workspace: str, session: Session) -> bool:
    return bool(workspace) and str(place(workspace).resolve()) != session.workspace


def read_context(name: str, text: bytes | None = None) -> str:
    """What a file holds that goes along with a message. Raises: NotFound, Invalid."""
    if not name:
        return ""
    try:
        raw = place(name).read_bytes() if text is None else text
    except FileNotFoundError:
        raise NotFound(f"there is no file {name}", remedy="check the path given with --context-file") from None
    except OSError as error:
        raise Invalid(f"{name} cannot be read: {error.strerror}", remedy="name a readable file") from error
    if len(raw) > CONTEXT_BYTES_MAX:
        raise Invalid(
            f"{name} has {len(raw)} bytes, at most {CONTEXT_BYTES_MAX}",
            remedy="put it into the workspace and name it in the message: the agent can read it there",
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{name} is not UTF-8 text", remedy="name a text file") from error


def exit_of_turn(result: TurnResult, *, strict: bool) -> Exit:
    """With `strict` (--exit-code), criteria that were not met are an exit code of their own."""
    if strict and result.status == "done" and result.passed is False:
        return Exit.CRITERIA_FAILED
    return _EXITS[result.status]


def tell_how_to_go_on(result: TurnResult, session: Session) -> None:
    """On stderr, where a turn did not end."""
    name = session.name or session.id
    if result.status == "waiting" and result.phase == "confirm":
        say(f"decide with: oxios run --session {name!r} --accept, --decline or --draft FILE")
        say(f"the draft to change: oxios sessions draft {name!r} > FILE")
    elif result.status == "waiting":
        say(f"answer with: oxios run --session {name!r} ANSWER")
    elif result.status == "paused":
        say(f"paused: {result.note}\ntry: oxios run --session {name!r}")
