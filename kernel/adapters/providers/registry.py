"""Providers by kind, found by a walk of this package: a new provider is one new file.

A module that exports `KIND` and `make(config)` is a provider; others are parts. Two modules of one
kind stop the boot.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

import kernel.adapters.providers as package
from kernel.errors import Invalid, KernelBug
from kernel.ports.provider import Provider, ProviderConfig


def make_provider(config: ProviderConfig) -> Provider:
    """The provider that `config` describes; it asks once, and the engine decides what is tried again.

    Raises: Invalid, where no adapter is of that kind or the configuration does not suit it.
    """
    made = _makers().get(config.kind)
    if made is None:
        raise Invalid(
            f"providers.{config.name}.kind is {config.kind!r}, and no such provider exists",
            remedy=f"use one of: {', '.join(kinds())}",
        )
    return made(config)


def kinds() -> tuple[str, ...]:
    return tuple(sorted(_makers()))


@cache
def _makers() -> dict[str, Callable[[ProviderConfig], Provider]]:
    makers: dict[str, Callable[[ProviderConfig], Provider]] = {}
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        kind = getattr(module, "KIND", None)
        if kind is None:
            continue
        if kind in makers:
            raise KernelBug(f"two providers are of kind {kind!r}; one of them is {found.name}")
        makers[kind] = module.make
    return makers
