"""`oxios run`: one message through the whole cycle, and its reply."""

from __future__ import annotations

import argparse

NAME = "run"
HELP = "carry out a message: assess it, do it, review it, reply"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "message", nargs="?", metavar="MESSAGE|-", help="what is wanted, - for stdin; none: go on with the session"
    )
    parser.add_argument("--session", metavar="NAME|ID", default="", help="go on in this session, or begin one so named")
    parser.add_argument("--workspace", metavar="DIR", default="", help="where a new session works (default: here)")
    parser.add_argument("--model", metavar="PROVIDER/MODEL", default="", help="the agent's model from now on")
    parser.add_argument("--persona", metavar="NAME", default="", help="the persona from now on; none for no persona")
    parser.add_argument("--approve", choices=("manual", "allow-list", "auto"), default="", help="what runs unasked")
    parser.add_argument(
        "--context-file", metavar="FILE", default="", help="a text that belongs to the message, as data"
    )
    parser.add_argument(
        "--attach", metavar="FILE", action="append", default=[], help="an image, PDF or text to show the agent"
    )
    parser.add_argument("--yes", action="store_true", help="carry a specification out as it was written, unasked")
    parser.add_argument("--hold", action="store_true", help="leave a specification for a decision: exit 5")
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--accept", action="store_true", help="carry out the session's draft that waits")
    decision.add_argument("--decline", action="store_true", help="drop the session's draft that waits")
    decision.add_argument("--draft", metavar="FILE", default="", help="carry it out as this file has it (.md or .json)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout at the end")
    parser.add_argument("--exit-code", action="store_true", help="exit 3 where criteria were not met")


def run(args: argparse.Namespace) -> int:
    from oxios.oneshot import one_turn  # noqa: PLC0415 -- `oxios --help` opens no kernel

    return one_turn(args)
