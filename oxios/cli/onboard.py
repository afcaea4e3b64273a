"""`oxios onboard`: choose a model provider, try it, and write it into the configuration."""

from __future__ import annotations

import argparse

NAME = "onboard"
HELP = "choose a model provider, try it, and make its model the default"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Find model servers on this machine and keys in the environment, ask which to use (or take it from the "
        "flags), send a few tokens to see that it works, and write the configuration. Keys are never stored: the "
        "NAME of the environment variable is. Saying it twice changes nothing."
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing: take the flags, or the first that works")
    parser.add_argument("--provider", choices=("openai", "anthropic", "vendor"), help="which wire format it speaks")
    parser.add_argument("--base-url", metavar="URL", default="", help="where it is reached (default: its maker's)")
    parser.add_argument("--key-env", metavar="NAME", default="", help="the environment variable that holds its key")
    parser.add_argument("--model", default="", help="the model, as the provider calls it")
    parser.add_argument("--name", default="", help="what the provider is called in the configuration")
    parser.add_argument("--no-check", action="store_true", help="write without trying it")


def run(args: argparse.Namespace) -> int:
    from oxios.onboard import onboard  # noqa: PLC0415 -- `oxios --help` starts without it

    return onboard(args)
