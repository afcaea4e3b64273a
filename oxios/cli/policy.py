"""`oxios policy diff`: which past calls a new policy would decide otherwise, before it is switched on."""

from __future__ import annotations

import argparse

from oxios.exits import Exit

NAME = "policy"
HELP = "try a policy on past calls before it is switched on"


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="actions", dest="verb", metavar="ACTION", required=True)
    diff = verbs.add_parser("diff", help="list every past call that NEW would decide otherwise")
    diff.add_argument(
        "new", metavar="NEW", help="a policy.csv, a config.toml, or the name of a grant (worker, standard, operator …)"
    )
    diff.add_argument("--run", metavar="RUN", help="only the calls of this run")
    diff.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    from oxios.rehearse import diff  # noqa: PLC0415 -- `oxios --help` needs no gate

    return Exit.FAILED if diff(args) else Exit.OK
