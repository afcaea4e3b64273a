"""`oxios runs`: see what agents did, stop them, go on with them, go back over them."""

from __future__ import annotations

import argparse

from oxios.frame import at_least_one

NAME = "runs"
HELP = "list, show, resume, cancel, replay, fork and export runs"


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="actions", dest="verb", metavar="ACTION", required=True)
    listing = verbs.add_parser("list", help="list the newest runs")
    listing.add_argument("--limit", type=at_least_one, default=20, metavar="N", help="at most this many (default: 20)")
    listing.add_argument(
        "--status",
        choices=("running", "paused", "finished", "failed", "cancelled", "interrupted"),
        help="only runs of this status",
    )
    _run_verb(verbs.add_parser("show", help="show one run: goal, conversation, calls, verdict"))
    resume = verbs.add_parser("resume", help="go on with a run; without RUN, with all that were interrupted")
    resume.add_argument(
        "run", nargs="?", metavar="RUN", help="its id, or how it begins (default: every interrupted run)"
    )
    resume.add_argument(
        "--in-doubt",
        choices=("retry", "skip", "done"),
        help="what to do with a call that nobody knows the end of: do it again, call it undone, call it done",
    )
    raised = resume.add_argument_group("a budget in place of the run's own (it counts what was spent before)")
    raised.add_argument("--tokens", type=int, metavar="N", help="model tokens")
    raised.add_argument("--calls", type=int, metavar="N", help="tool calls")
    raised.add_argument("--usd", type=float, metavar="X", help="US dollars")
    raised.add_argument("--seconds", type=float, metavar="S", help="seconds of running")
    _run_verb(verbs.add_parser("cancel", help="stop a run for good"))
    _run_verb(verbs.add_parser("replay", help="go through a run from its record: no model, no tool"))
    fork = _run_verb(verbs.add_parser("fork", help="start a new run that goes on from a step of this one"))
    fork.add_argument("--step", type=int, metavar="N", help="after the Nth reply and its results (default: the newest)")
    fork.add_argument("--say", default="", metavar="TEXT", help="something to tell the agent there")
    export = _run_verb(verbs.add_parser("export", help="write every entry of a run, one JSON object a line"))
    export.add_argument("-o", "--output", metavar="FILE", help="where to (default: standard output)")
    for verb in verbs.choices.values():
        verb.add_argument("--json", action="store_true", help="JSON on standard output")


def run(args: argparse.Namespace) -> int:
    from oxios import runs  # noqa: PLC0415 -- `oxios --help` opens no kernel

    return runs.VERBS[args.verb](args)


def _run_verb(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("run", metavar="RUN", help="its id, as `oxios runs list` shows it, or how it begins")
    return parser
