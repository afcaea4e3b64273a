"""`oxios completion SHELL`: a script that completes commands, options and file names."""

from __future__ import annotations

import argparse

NAME = "completion"
HELP = "print a completion script for bash, zsh or tcsh"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell that shall read it")
    parser.epilog = 'For example: eval "$(oxios completion bash)"'


def run(args: argparse.Namespace) -> int:
    import shtab  # noqa: PLC0415 -- for this command only

    print(shtab.complete(args.whole_parser(), shell=args.shell))
    return 0
