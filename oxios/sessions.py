"""What `oxios sessions` does: each verb reads beside whoever writes, or is one act of the desk of sessions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from kernel.errors import Conflict, Invalid
from ouroboros.crystallize import editable
from ouroboros.seed import SeedSpec
from ouroboros.session import Session, Turn
from ouroboros.sessionbook import SessionBook
from ouroboros.sessiondesk import SessionDesk
from ouroboros.sessionreplay import SessionReplay, replay_session
from oxios.chatwords import session_line
from oxios.exits import Exit
from oxios.frame import say
from oxios.paint import one_line
from oxios.seat import turn_of
from oxios.session import operator, read_journal, run_kernel

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.jsontypes import JsonObject

_LINE_CHARS: Final = 200
_MICRO: Final = 1_000_000
_PASSED: Final = {True: "passed", False: "not met", None: "not reviewed"}


def _reading(body: Callable[[argparse.Namespace, SessionBook], Awaitable[int]]) -> Callable[[argparse.Namespace], int]:
    return lambda args: read_journal(args, lambda journal: body(args, SessionBook(journal, operator())))


def _acting(
    body: Callable[[argparse.Namespace, SessionDesk, Session], Awaitable[str]], *, deleted: bool = False
) -> Callable[[argparse.Namespace], int]:
    """The verb finds the session, acts, and says what it did."""

    async def act(args: argparse.Namespace, kernel: Kernel) -> int:
        desk = SessionDesk(kernel, kernel.operator)
        session = await desk.book.find(args.session, deleted=deleted and args.undo)
        done = await body(args, desk, session)
        if args.json:
            print(json.dumps(session_json(session), ensure_ascii=False))
        else:
            say(done, args)
        return Exit.OK

    return lambda args: run_kernel(args, lambda kernel: act(args, kernel))


async def _list(args: argparse.Namespace, book: SessionBook) -> int:
    page = await book.page(args.status, limit=args.limit, after=args.after)
    if args.json:
        print(json.dumps(list(page.rows), ensure_ascii=False))
    for row in () if args.json else page.rows:
        print(f"{session_line(row)}{'  (pinned)' if row['pinned'] else ''}")
    if page.after:
        say(f"there are more: --after {page.after}", args)
    return Exit.OK


async def _search(args: argparse.Namespace, book: SessionBook) -> int:
    found = await book.search(args.text, limit=args.limit)
    if args.json:
        print(json.dumps([{**one.row, "snippet": one.snippet, "seq": one.seq} for one in found], ensure_ascii=False))
        return Exit.OK
    for one in found:
        print(f"{session_line(one.row)}\n      {one_line(one.snippet, _LINE_CHARS)}")
    if not found:
        say("nothing was found", args)
    return Exit.OK


async def _show(args: argparse.Namespace, book: SessionBook) -> int:
    session = await book.find(args.session)
    if args.json:
        print(json.dumps(session_json(session), ensure_ascii=False))
    else:
        _print(session)
    return Exit.OK


async def _draft(args: argparse.Namespace, book: SessionBook) -> int:
    draft = waiting_draft(await book.find(args.session))
    print(json.dumps(draft.model_dump(mode="json"), ensure_ascii=False) if args.json else editable(draft)[0])
    return Exit.OK


async def _replay(args: argparse.Namespace, book: SessionBook) -> int:
    session = await book.find(args.session)
    replayed = await replay_session(book, session.id)
    same = replayed.divergence is None and replayed.state == session
    if args.json:
        print(json.dumps(_replay_json(replayed, same=same), ensure_ascii=False))
    elif replayed.divergence is not None:
        found = replayed.divergence
        expected, there = one_line(found.expected, _LINE_CHARS), one_line(found.found, _LINE_CHARS)
        print(f"diverged at entry {found.seq}: expected {expected}, the record has {there}")
    else:
        steps = f"{len(replayed.state.turns)} turns, {replayed.phases} phases, {replayed.runs} runs"
        ends = "the same state" if same else "ANOTHER state"
        print(f"replayed {replayed.entries} entries ({steps}) with no model and no tool: {ends}")
    return Exit.OK if same else Exit.FAILED


async def _rename(args: argparse.Namespace, desk: SessionDesk, session: Session) -> str:
    await desk.rename(session, args.name)
    return f"{session.id} is {args.name!r} now"


async def _pin(args: argparse.Namespace, desk: SessionDesk, session: Session) -> str:
    await desk.pin(session, pinned=not args.undo)
    return f"{session.id} is {'not pinned any more' if args.undo else 'pinned'}"


async def _archive(args: argparse.Namespace, desk: SessionDesk, session: Session) -> str:
    await desk.archive(session, archived=not args.undo)
    return f"{session.id} is {'listed again' if args.undo else 'archived'}"


async def _delete(args: argparse.Namespace, desk: SessionDesk, session: Session) -> str:
    if args.undo:
        await desk.restore(session)
        return f"{session.id} is back"
    with turn_of(session):
        await desk.delete(session)
    return f"{session.id} is deleted; `oxios sessions delete {session.id} --undo` brings it back"


async def _rewind(args: argparse.Namespace, desk: SessionDesk, session: Session) -> str:
    with turn_of(session):
        await desk.rewind(session, args.turn)
    return f"{session.id} goes on after turn {args.turn}; files are as later turns left them"


async def _switch(args: argparse.Namespace, desk: SessionDesk, session: Session) -> str:
    said = {"model": args.model, "persona": args.persona, "approve": args.approve}
    await desk.switch(
        session,
        **{name: "" if word in {"default", "none"} else word for name, word in said.items() if word is not None},
    )
    settled = (f"{name} {getattr(session, name) or 'as the settings say'}" for name in said)
    return f"{session.id}: {', '.join(settled)}"


async def _budget(args: argparse.Namespace, desk: SessionDesk, session: Session) -> str:
    if args.tokens is None and args.calls is None and args.usd is None:
        raise Invalid("it is not said what the session may spend", remedy="give --tokens N, --calls N or --usd X")
    handle = desk.kernel.handle(desk.owner, run=session.id)
    made = session.budget
    await handle.call("budget.open", {"tokens_max": made.tokens_max, "micro_usd_max": made.micro_usd_max})
    micro_usd = None if args.usd is None else round(args.usd * _MICRO)
    raised = {"tokens_max": args.tokens, "calls_max": args.calls, "micro_usd_max": micro_usd}
    return (await handle.call("budget.raise", raised)).text


def _fork(args: argparse.Namespace) -> int:
    async def body(kernel: Kernel) -> int:
        desk = SessionDesk(kernel, kernel.operator)
        fork = await desk.fork(await desk.book.find(args.session), args.turn, name=args.name)
        if args.json:
            print(json.dumps(session_json(fork), ensure_ascii=False))
        else:
            print(fork.id)
            say(f"{len(fork.turns)} turns; go on with: oxios run --session {fork.name or fork.id} MESSAGE", args)
        sys.stdout.flush()
        return Exit.OK

    return run_kernel(args, body)


def waiting_draft(session: Session) -> SeedSpec:
    """Raises: Conflict, where none waits."""
    turn = session.turn
    if turn is None or turn.status != "waiting" or turn.draft is None:
        raise Conflict(
            f"no draft of session {session.name or session.id} waits for a decision",
            remedy="`oxios run --hold MESSAGE` leaves one",
        )
    return turn.draft


def session_json(session: Session) -> JsonObject:
    """The whole state, as --json shows it; its fields are stable."""
    origin = session.origin
    return {
        "id": session.id,
        "name": session.name,
        "model": session.model,
        "persona": session.persona,
        "approve": session.approve,
        "workspace": session.workspace,
        "archived": session.archived,
        "pinned": session.pinned,
        "deleted": session.deleted,
        "origin": None if origin is None else {"session": origin.session, "turn": origin.turn},
        "created_us": session.created_us,
        "updated_us": session.updated_us,
        "tokens": session.tokens,
        "cost_micro_usd": session.micro_usd,
        "turns": [_turn(turn) for turn in session.turns],
        "superseded": [_turn(turn) for turn in session.superseded],
    }


def _turn(turn: Turn) -> JsonObject:
    return {
        "number": turn.number,
        "message": turn.message,
        "answers": [one.answer for one in turn.rounds],
        "status": turn.status,
        "phase": turn.phase,
        "reply": turn.reply,
        "note": turn.note,
        "seeds": [one.seed.id for one in turn.generations],
        "runs": [one.run for one in turn.generations],
        "passed": [one.verdict.passed if one.verdict else None for one in turn.generations],
    }


def _print(session: Session) -> None:
    origin = f"{session.origin.session}, turn {session.origin.turn}" if session.origin else ""
    for name, value in (
        ("session", session.id),
        ("name", session.name),
        ("forked", origin),
        ("model", session.model),
        ("persona", session.persona),
        ("works in", session.workspace),
        ("spent", f"{session.tokens} tokens, {session.micro_usd / 1e6:.6f} USD"),
    ):
        if value:
            print(f"{name:<9} {one_line(value, _LINE_CHARS)}")
    for turn in session.turns:
        _print_turn(turn)
    for turn in session.superseded:
        _print_turn(turn, "rewound, ")


def _print_turn(turn: Turn, mark: str = "") -> None:
    print(f"\n{turn.number:>3}  {mark}{turn.status}  {one_line(turn.message, _LINE_CHARS)}")
    for one in turn.generations:
        passed = _PASSED[one.verdict.passed if one.verdict else None]
        print(f"     seed {one.seed.id}  run {one.run or 'none yet'}  {passed}")
    if turn.reply:
        print(f"     {one_line(turn.reply, _LINE_CHARS)}")


def _replay_json(replayed: SessionReplay, *, same: bool) -> JsonObject:
    return {
        "session": replayed.state.id,
        "same": same,
        "entries": replayed.entries,
        "turns": len(replayed.state.turns),
        "phases": replayed.phases,
        "runs": replayed.runs,
        "model_calls": 0,
        "tool_calls": 0,
        "divergence": None if replayed.divergence is None else asdict(replayed.divergence),
    }


VERBS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "list": _reading(_list),
    "search": _reading(_search),
    "show": _reading(_show),
    "draft": _reading(_draft),
    "replay": _reading(_replay),
    "rename": _acting(_rename),
    "pin": _acting(_pin),
    "archive": _acting(_archive),
    "delete": _acting(_delete, deleted=True),
    "rewind": _acting(_rewind),
    "switch": _acting(_switch),
    "budget": _acting(_budget),
    "fork": _fork,
}
