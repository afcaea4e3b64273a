"""`oxios chat`: talk with agents in the terminal, in sessions that go on."""

from __future__ import annotations

import argparse

NAME = "chat"
HELP = "talk in the terminal: messages, steps, approvals, sessions that go on"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--session", metavar="NAME|ID", default="", help="go on in this session, or begin one so named")
    parser.add_argument("--workspace", metavar="DIR", default="", help="where a new session works (default: here)")
    parser.add_argument("--model", metavar="PROVIDER/MODEL", default="", help="the agent's model from now on")
    parser.add_argument("--persona", metavar="NAME", default="", help="the persona from now on; none for no persona")
    parser.add_argument("--approve", choices=("manual", "allow-list", "auto"), default="", help="what runs unasked")


def run(args: argparse.Namespace) -> int:
    from oxios.chat import chat  # noqa: PLC0415 -- `oxios --help` opens no kernel

    return chat(args)
