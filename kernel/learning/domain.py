"""Which field of work a goal belongs to, from its words alone.

Guarantees: a whole-word, case-insensitive match over the first eight words, domains tried in a
fixed order; never empty. Source: the original's `infer_domain`.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS_READ_MAX: Final = 8
_FALLBACK_WORDS: Final = 2
_SHORT_BYTES: Final = 2

_DOMAINS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    ("testing", frozenset({"test", "tests", "testing", "coverage", "pytest", "unittest"})),
    ("deployment", frozenset({"deploy", "deployment", "release", "publish", "rollout", "ship"})),
    ("bugfix", frozenset({"fix", "bug", "bugs", "error", "crash", "repair", "debug"})),
    ("refactoring", frozenset({"refactor", "refactoring", "restructure", "cleanup", "simplify", "rename"})),
    ("documentation", frozenset({"document", "documentation", "docs", "readme", "docstring", "changelog"})),
    ("development", frozenset({"create", "build", "implement", "add", "develop", "write", "make", "new"})),
    ("analysis", frozenset({"review", "analyze", "analyse", "analysis", "investigate", "inspect", "audit", "compare"})),
    ("configuration", frozenset({"configure", "configuration", "config", "setup", "install", "enable", "disable"})),
)


def infer_domain(goal: str) -> str:
    """`testing`, `bugfix` …; else the first two words of more than two bytes joined by `_`; else `general`."""
    words = re.findall(r"\w+", goal.lower())[:_WORDS_READ_MAX]
    seen = frozenset(words)
    for domain, names in _DOMAINS:
        if not names.isdisjoint(seen):
            return domain
    longer = [word for word in words if len(word.encode()) > _SHORT_BYTES]
    return "_".join(longer[:_FALLBACK_WORDS]) or "general"
