"""`oxios logs`: what a server in the background said."""

from __future__ import annotations

import argparse

from oxios.exits import Exit
from oxios.frame import at_least_one, home_of_command

NAME = "logs"
HELP = "show the log of a server in the background"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--lines", metavar="N", type=at_least_one, default=50, help="the last N (default: 50)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as lines come, until interrupted")


def run(args: argparse.Namespace) -> int:
    """Raises: NotFound, where there is no log."""
    from oxios.server.logfile import follow, tail  # noqa: PLC0415 -- `oxios --help` needs no server

    home = home_of_command(args)
    for line in tail(home, args.lines):
        print(line)
    if args.follow:
        follow(home)
    return Exit.OK
