"""`oxios stop`: end the server of the home, in order."""

from __future__ import annotations

import argparse

from oxios.exits import Exit
from oxios.frame import home_of_command, say

NAME = "stop"
HELP = "stop the server of the home"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Ask the server to end and wait until it has: runs under way are recorded as interrupted."
    parser.add_argument("--wait", metavar="S", type=float, default=30.0, help="seconds to wait (default: 30)")
    parser.add_argument("--now", action="store_true", help="end it at once, as a crash would")


def run(args: argparse.Namespace) -> int:
    """Raises: Unavailable, where it does not end in time."""
    from oxios.server.stopping import stop  # noqa: PLC0415 -- `oxios --help` needs no server

    home = home_of_command(args)
    stopped = stop(home, wait_s=args.wait, now=args.now)
    say(f"no server works in {home}" if stopped is None else f"stopped the server (process {stopped})", args)
    return Exit.OK
