"""`oxios sessions`: conversations on record: list, search, show, rename, archive."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from oxios.exits import Exit
from oxios.frame import say
from oxios.seat import shared

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.journal.appender import Reader
    from ouroboros.session import Session, Turn

NAME = "sessions"
HELP = "list, search, show, rename and archive sessions"
_LINE_CHARS = 200


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="the newest sessions")
    listing.add_argument("--all", action="store_true", help="archived ones too")
    listing.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    searching = verbs.add_parser("search", help="sessions in whose name or messages a text stands")
    searching.add_argument("text", metavar="TEXT", help="in any case")
    showing = verbs.add_parser("show", help="one session: its turns, with what came of them")
    renaming = verbs.add_parser("rename", help="name a session")
    archiving = verbs.add_parser("archive", help="leave a session out of the list; it can still be gone on with")
    archiving.add_argument("--undo", action="store_true", help="list it again")
    for verb in (showing, renaming, archiving):
        verb.add_argument("session", metavar="NAME|ID", help="as `oxios sessions list` shows it")
    renaming.add_argument("name", metavar="NEW", help="its name from now on")
    for verb in (listing, searching, showing):
        verb.add_argument("--json", action="store_true", help="JSON on standard output")


def run(args: argparse.Namespace) -> int:
    from oxios.session import read_journal, run_kernel  # noqa: PLC0415 -- `oxios --help` opens no kernel

    reading = {"list": _list, "search": _search, "show": _show}
    if args.verb in reading:
        return read_journal(args, lambda journal: reading[args.verb](args, journal))
    return run_kernel(args, lambda kernel: _change(args, kernel))


async def _list(args: argparse.Namespace, journal: Reader) -> int:
    from ouroboros.sessionbook import SessionBook  # noqa: PLC0415 -- as above
    from oxios.chatwords import session_line  # noqa: PLC0415 -- as above
    from oxios.session import operator  # noqa: PLC0415 -- as above

    rows = await SessionBook(journal, operator()).listed(archived=args.all, limit=args.limit)
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            print(session_line(row))
    return Exit.OK


async def _search(args: argparse.Namespace, journal: Reader) -> int:
    from ouroboros.sessionbook import SessionBook  # noqa: PLC0415 -- as above
    from oxios.chatwords import session_line  # noqa: PLC0415 -- as above
    from oxios.paint import one_line  # noqa: PLC0415 -- as above
    from oxios.session import operator  # noqa: PLC0415 -- as above

    found = await SessionBook(journal, operator()).search(args.text)
    if args.json:
        print(json.dumps([{**one.row, "snippet": one.snippet} for one in found], ensure_ascii=False))
        return Exit.OK
    for one in found:
        print(f"{session_line(one.row)}\n      {one_line(one.snippet, _LINE_CHARS)}")
    if not found:
        say("nothing was found", args)
    return Exit.OK


async def _show(args: argparse.Namespace, journal: Reader) -> int:
    from ouroboros.sessionbook import SessionBook  # noqa: PLC0415 -- as above
    from oxios.session import operator  # noqa: PLC0415 -- as above

    session = await SessionBook(journal, operator()).find(args.session)
    if args.json:
        print(json.dumps(_json(session), ensure_ascii=False))
    else:
        _print(session)
    return Exit.OK


async def _change(args: argparse.Namespace, kernel: Kernel) -> int:
    from ouroboros import session as words  # noqa: PLC0415 -- as above
    from ouroboros.sessionbook import SessionBook, check_name, record  # noqa: PLC0415 -- as above

    session = shared(await SessionBook(kernel.journal, kernel.operator).find(args.session))
    if args.verb == "rename":
        check_name(args.name)
        await record(kernel.journal, session, words.RENAMED, {"name": args.name})
        say(f"{session.id} is {args.name!r} now", args)
    else:
        await record(kernel.journal, session, words.ARCHIVED, {"archived": not args.undo})
        say(f"{session.id} is {'listed again' if args.undo else 'archived'}", args)
    return Exit.OK


def _json(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "name": session.name,
        "model": session.model,
        "persona": session.persona,
        "approve": session.approve,
        "workspace": session.workspace,
        "archived": session.archived,
        "created_us": session.created_us,
        "updated_us": session.updated_us,
        "tokens": session.tokens,
        "cost_micro_usd": session.micro_usd,
        "turns": [_turn(turn) for turn in session.turns],
    }


def _turn(turn: Turn) -> dict[str, object]:
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
    from oxios.paint import one_line  # noqa: PLC0415 -- as above

    for name, value in (
        ("session", session.id),
        ("name", session.name),
        ("model", session.model),
        ("persona", session.persona),
        ("works in", session.workspace),
        ("spent", f"{session.tokens} tokens, {session.micro_usd / 1e6:.6f} USD"),
    ):
        if value:
            print(f"{name:<9} {one_line(value, _LINE_CHARS)}")
    for turn in session.turns:
        print(f"\n{turn.number:>3}  {turn.status}  {one_line(turn.message, _LINE_CHARS)}")
        for one in turn.generations:
            passed = {True: "passed", False: "not met", None: "not reviewed"}[
                one.verdict.passed if one.verdict else None
            ]
            print(f"     seed {one.seed.id}  run {one.run or 'none yet'}  {passed}")
        if turn.reply:
            print(f"     {one_line(turn.reply, _LINE_CHARS)}")
