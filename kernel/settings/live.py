"""Which settings a running kernel can take up, and which hold from its next start on.

Guarantees: `in_force` takes the live sections of newly read settings and leaves everything else as it was,
so what the kernel says of itself (its sandbox, its journal, its address) is what it has.

Source: RFC-0010.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kernel.settings.tree import Settings

LIVE: Final = ("model", "providers", "models", "routing", "approval", "run", "cycle")
"""Sections that are looked up anew by each request, question and run."""


def in_force(before: Settings, read: Settings) -> Settings:
    """`before`, with the live sections of `read`."""
    return replace(before, **{name: getattr(read, name) for name in LIVE})


def is_live(key: str) -> bool:
    """Whether a change of the setting `key` holds without a restart."""
    return key.partition(".")[0] in LIVE
