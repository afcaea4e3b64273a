"""`oxios status`: whether a server works in the home, and how it is."""

from __future__ import annotations

import argparse
import json

from oxios.exits import Exit
from oxios.frame import home_of_command

NAME = "status"
HELP = "say whether a server works in the home, where, and whether it is ready"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say whether a server works in the home, where, and whether it is ready. "
        "Exit code 0: it works and is ready; 8: it works and is not ready; 1: there is none."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    from oxios.server.standing import look  # noqa: PLC0415 -- `oxios --help` needs no server

    home = home_of_command(args)
    found = look(home)
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(f"{name:<8} {value}" for name, value in _lines(found)))
    if not found["running"]:
        return Exit.FAILED
    return Exit.OK if found["ready"] else Exit.UNAVAILABLE


def _lines(found: dict[str, object]) -> list[tuple[str, object]]:
    if not found["running"]:
        lock = found["locked_by"]
        return [("server", f"none in {found['home']}"), *([("in use", f"by process {lock}")] if lock else [])]
    state = "ready" if found["ready"] else f"not ready: {found['trouble']}"
    return [
        ("server", f"{found['url']} (process {found['pid']})"),
        ("state", state),
        ("since", f"{found['started']} ({found['uptime_s']} s)"),
        ("version", found["version"]),
        ("home", found["home"]),
    ]
