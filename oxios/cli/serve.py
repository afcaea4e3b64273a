"""`oxios serve`: the dashboard, and one kernel for every command, until it is told to stop."""

from __future__ import annotations

import argparse
import json
import os
import sys

from oxios.frame import say

NAME = "serve"
HELP = "serve the dashboard, and carry out the other commands, until told to stop"
_PORT_MAX = 65_535


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Open the home once and serve the dashboard; other `oxios` commands run in this process meanwhile. "
        "The first Ctrl-C or SIGTERM ends it in order, a second at once."
    )
    parser.add_argument("--host", metavar="ADDRESS", default="", help="listen there (default: server.host)")
    parser.add_argument("--port", metavar="N", type=_port, help="its port, 0 for any (default: server.port)")
    parser.add_argument("--background", action="store_true", help="return once it answers; `oxios logs` shows its log")
    parser.add_argument("--ready-fd", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--write-unit", action="store_true", help="write a systemd unit instead, and say how to use it")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--user", action="store_true", help="with --write-unit: for your own systemd (default)")
    which.add_argument("--system", action="store_true", help="with --write-unit: for the machine's systemd")
    parser.add_argument("--output", metavar="FILE", default="", help="with --write-unit: where, - for standard output")


def run(args: argparse.Namespace) -> int:
    flags = {"server.host": args.host, "server.port": "" if args.port is None else str(args.port)}
    args.sets = [*args.sets, *(f"{key}={value}" for key, value in flags.items() if value)]
    if args.write_unit:
        from oxios.server.unit import write_unit  # noqa: PLC0415 -- `oxios --help` needs none of these

        return write_unit(args)
    if args.background:
        from oxios.server.background import start  # noqa: PLC0415 -- as above

        return start(args)
    return _serve(args)


def _serve(args: argparse.Namespace) -> int:
    from oxios.server.notify import is_service  # noqa: PLC0415 -- as above
    from oxios.server.process import serve  # noqa: PLC0415 -- as above

    def ready(url: str, link: str) -> None:
        if args.ready_fd >= 0:
            os.write(args.ready_fd, json.dumps({"url": url, "link": link}).encode() + b"\n")
            os.close(args.ready_fd)
            return
        print(f"Oxios serves {url}")
        print("sign in: oxios users link" if is_service() else f"sign in: {link}")
        sys.stdout.flush()
        say("(the link works once, for 15 minutes; Ctrl-C stops the server)", args)

    code = serve(args, args.program, ready)
    say("stopped", args)
    return code


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to {_PORT_MAX}")
    return int(text)
