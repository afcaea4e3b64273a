"""Finding commands: every module of `oxios.cli` is one, and nothing else lists them.

A command module has `NAME`, `HELP` (one line), `configure(parser)` and `run(args) -> int`. It must
keep heavy imports inside `run`: `oxios --help` imports every command module.

Guarantees: a module that lacks a part, or two with one name, is a KernelBug at once.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Protocol, cast

import oxios.cli
from kernel.errors import KernelBug

_PARTS = ("NAME", "HELP", "configure", "run")


class CommandModule(Protocol):
    """What a module of `oxios.cli` looks like."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 -- a module's constant

    @property
    def HELP(self) -> str: ...  # noqa: N802 -- a module's constant

    def configure(self, parser: argparse.ArgumentParser, /) -> None: ...

    def run(self, args: argparse.Namespace, /) -> int: ...


def find(name: str) -> CommandModule | None:
    """The command of that name, importing only its module where it is named like the command."""
    module_name = name.replace("-", "_")
    if module_name in _module_names():
        command = _load(module_name)
        if name == command.NAME:
            return command
    return discover().get(name)


def discover() -> dict[str, CommandModule]:
    """Every command by name, in alphabetical order."""
    commands: dict[str, CommandModule] = {}
    for module_name in _module_names():
        command = _load(module_name)
        if command.NAME in commands:
            raise KernelBug(f"two command modules are named {command.NAME!r}")
        commands[command.NAME] = command
    return dict(sorted(commands.items()))


def _module_names() -> Iterator[str]:
    for info in pkgutil.iter_modules(oxios.cli.__path__):
        if not info.name.startswith("_"):
            yield info.name


def _load(module_name: str) -> CommandModule:
    module: ModuleType = importlib.import_module(f"oxios.cli.{module_name}")
    missing = [part for part in _PARTS if not hasattr(module, part)]
    if missing:
        raise KernelBug(f"the command module {module.__name__} lacks {', '.join(missing)}")
    return cast("CommandModule", module)
