"""The sub-commands of an argparse parser, which argparse itself cannot list."""

from __future__ import annotations

import argparse
from typing import Any, cast


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """By name, in alphabetical order; empty where the parser has none."""
    actions = cast("list[Any]", parser._actions)  # pyright: ignore[reportPrivateUsage] -- there is no public way
    found: dict[str, argparse.ArgumentParser] = {}
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage] -- as above
            found.update(cast("dict[str, argparse.ArgumentParser]", cast("Any", action).choices))
    return dict(sorted(found.items()))
