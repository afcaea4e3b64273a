"""`oxios sessions`: conversations on record: look through them, put them in order, go back in them."""

from __future__ import annotations

import argparse

from oxios.frame import at_least_one

NAME = "sessions"
HELP = "list, search, show, name, pin, archive, delete, fork, rewind, replay, switch and budget sessions"
_UNDOES = {
    "pin": "list it where it belongs again",
    "archive": "list it again",
    "delete": "bring a deleted session back",
}


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="actions", dest="verb", metavar="ACTION", required=True)
    listing = verbs.add_parser("list", help="list the newest sessions, pinned ones first")
    which = listing.add_mutually_exclusive_group()
    which.add_argument("--all", dest="status", action="store_const", const="kept", help="archived ones too")
    which.add_argument("--archived", dest="status", action="store_const", const="archived", help="only archived ones")
    which.add_argument("--deleted", dest="status", action="store_const", const="deleted", help="only deleted ones")
    listing.set_defaults(status="active")
    listing.add_argument("--limit", type=at_least_one, default=20, metavar="N", help="how many (default: 20)")
    listing.add_argument("--after", default="", metavar="PLACE", help="go on where the page before ended")
    searching = verbs.add_parser("search", help="find sessions in whose name or messages words stand")
    searching.add_argument("text", metavar="TEXT", help="beginnings of words, in any case and accent")
    searching.add_argument("--limit", type=at_least_one, default=20, metavar="N", help="how many (default: 20)")
    _session_verb(verbs.add_parser("show", help="show one session: its turns, with what came of them"))
    _session_verb(verbs.add_parser("draft", help="show the specification that waits for a decision"))
    renaming = _session_verb(verbs.add_parser("rename", help="name a session"))
    renaming.add_argument("name", metavar="NEW", help="its name from now on")
    for name, text in (
        ("pin", "list a session before the others"),
        ("archive", "leave a session out of the list; it can still be gone on with"),
        ("delete", "take a session out of every list and search; its record stays until it is erased"),
    ):
        verb = _session_verb(verbs.add_parser(name, help=text))
        verb.add_argument("--undo", action="store_true", help=_UNDOES[name])
    forking = _session_verb(verbs.add_parser("fork", help="start a new session that goes on from a turn of this one"))
    forking.add_argument("--turn", type=int, metavar="N", help="the last turn it has (default: the last that ended)")
    forking.add_argument("--name", default="", metavar="NEW", help="its name")
    rewinding = _session_verb(verbs.add_parser("rewind", help="leave later turns out of the conversation"))
    rewinding.add_argument("turn", type=int, metavar="TURN", help="the last that is kept; 0 for none")
    _session_verb(verbs.add_parser("replay", help="go through a session from its record: no model, no tool"))
    budgeting = _session_verb(
        verbs.add_parser("budget", help="set what a session may spend; what it spent before counts")
    )
    budgeting.add_argument("--tokens", type=at_least_one, metavar="N", help="model tokens")
    budgeting.add_argument("--calls", type=at_least_one, metavar="N", help="tool calls")
    budgeting.add_argument("--usd", type=float, metavar="X", help="US dollars")
    switching = _session_verb(verbs.add_parser("switch", help="choose what the next turn works with"))
    switching.add_argument("--model", metavar="PROVIDER/MODEL", help="the agent's model; default for the settings' own")
    switching.add_argument("--persona", metavar="NAME", help="the persona; none for no persona")
    switching.add_argument("--approve", choices=("manual", "allow-list", "auto", "default"), help="what runs unasked")
    for verb in verbs.choices.values():
        verb.add_argument("--json", action="store_true", help="JSON on standard output")


def run(args: argparse.Namespace) -> int:
    from oxios import sessions  # noqa: PLC0415 -- `oxios --help` opens no kernel

    return sessions.VERBS[args.verb](args)


def _session_verb(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("session", metavar="NAME|ID", help="as `oxios sessions list` shows it")
    return parser
