"""`oxios run`: a message goes in, a person may watch, the reply comes out.

Guarantees: the reply (or one JSON object with the fields of `turn_json`) is all that goes to stdout;
the exit code is of the table in `oxios.exits`; Ctrl-C leaves a turn that the same command goes on
with when it is given no message.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel.errors import Invalid
from kernel.ports.provider import Attachment
from ouroboros.crystallize import decided
from ouroboros.cycle import Cycle, TurnResult, check_message
from ouroboros.phases import Accepting, Person
from ouroboros.seed import GOAL_CHARS_MAX
from ouroboros.session import Session
from oxios.attach import read_named
from oxios.draft import TerminalPerson
from oxios.exits import Exit
from oxios.frame import read_stdin, say
from oxios.keyboard import typed_here
from oxios.paint import harmless
from oxios.phases import PhaseView, phases_shown
from oxios.seat import turn_of
from oxios.session import run_kernel
from oxios.sessions import waiting_draft
from oxios.turns import exit_of_turn, open_session, read_context, tell_how_to_go_on

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.jsontypes import JsonValue


@dataclass(slots=True)
class _Under:
    """The session under way, for whoever interrupts it."""

    session: Session | None = None


def one_turn(args: argparse.Namespace) -> int:
    """Raises: OxiosError: the flags are wrong, the session or file is not there, the kernel cannot be opened."""
    message = _message(args)
    if message is not None:
        check_message(message)  # before a session is made for it
    context = read_context(args.context_file)
    under = _Under()
    try:
        return run_kernel(args, lambda kernel: _one_turn(args, kernel, message, context, under), listen=True)
    except KeyboardInterrupt:
        if under.session is None:
            raise
        say(f"stopped; `oxios run --session {under.session.id}` goes on from here")
        return Exit.STOPPED if args.exit_code else Exit.INTERRUPTED


async def _one_turn(args: argparse.Namespace, kernel: Kernel, message: str | None, context: str, under: _Under) -> int:
    started_s = kernel.clock.monotonic_s()
    decision = _decision(args)
    attached = read_named(args.attach, kernel.settings.home)
    if attached and message is None:
        raise Invalid("files are attached to no message", remedy="give a message with --attach")
    session = under.session = await open_session(kernel, args)
    cycle = Cycle(kernel, session, _person(args))
    async with phases_shown(kernel, args, session.id) as view:
        with turn_of(session):
            if decision is not None:
                result = await cycle.decide(decided(waiting_draft(session), decision))
            else:
                result = await _turn(cycle, view, message, context, attached)
    code = exit_of_turn(result, strict=args.exit_code)
    duration_ms = round((kernel.clock.monotonic_s() - started_s) * 1000)
    _tell(args, result, code, duration_ms)
    tell_how_to_go_on(result, session)
    return code


async def _turn(
    cycle: Cycle, view: PhaseView | None, message: str | None, context: str, attached: tuple[Attachment, ...]
) -> TurnResult:
    """Raises: Invalid, where there is nothing to go on with."""
    if message is not None:
        return await cycle.run(message, context, attached=attached)
    session = cycle.session
    if view is not None and session.turn is not None and session.turn.current is not None:
        view.follow(session.turn.current.run)
    resumed = await cycle.resume()
    if resumed is None:
        raise Invalid(f"session {session.name or session.id} has nothing to go on with", remedy="give a message")
    return resumed


def _person(args: argparse.Namespace) -> Person | None:
    """Whoever is at the terminal decides about a specification; where nobody is, it is carried out as written."""
    if args.hold:
        return None
    if args.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Accepting()
    _, lines = typed_here()
    return TerminalPerson(lines, lines.next)


def _decision(args: argparse.Namespace) -> dict[str, object] | None:
    """What the flags decide about the draft that waits. Raises: Invalid, NotFound (the file)."""
    if not (args.accept or args.decline or args.draft):
        return None
    if args.message is not None or not args.session:
        raise Invalid("a decision is about a session's draft, without a message", remedy="oxios run --session NAME")
    if args.draft:
        suffix = ".json" if args.draft.endswith(".json") else ".md"
        return {"choice": "edit", "text": read_context(args.draft), "suffix": suffix}
    return {"choice": "confirm" if args.accept else "decline"}


def turn_json(result: TurnResult, code: Exit, duration_ms: int) -> dict[str, JsonValue]:
    """The object of --json; its fields are stable. There are no projects yet, so theirs are null."""
    return {
        "response": result.response,
        "session_id": result.session,
        "primary_project_id": None,
        "project_tag": None,
        "agent_id": result.run or None,
        "phase_reached": result.phase,
        "evaluation_passed": result.passed,
        "exit_code": int(code),
        "duration_ms": duration_ms,
    }


def _tell(args: argparse.Namespace, result: TurnResult, code: Exit, duration_ms: int) -> None:
    if args.json:
        print(json.dumps(turn_json(result, code, duration_ms), ensure_ascii=False))
    elif result.response:
        print(harmless(result.response) if sys.stdout.isatty() else result.response)
    sys.stdout.flush()
    if result.note and result.status in {"done", "failed", "stopped"}:
        say(f"note: {result.note}", args)
    say(f"session {result.session}, turn {result.turn}: {result.status}, {duration_ms / 1000:.1f} s", args)


def _message(args: argparse.Namespace) -> str | None:
    """Raises: Invalid."""
    if args.message is None and not args.session:
        raise Invalid("there is no message", remedy='oxios run "what is wanted"')
    if args.message != "-":
        return args.message
    raw = read_stdin(args, 4 * GOAL_CHARS_MAX + 1)
    try:
        return raw.decode().strip()
    except UnicodeDecodeError as error:
        raise Invalid("standard input is not UTF-8 text", remedy="send text") from error
