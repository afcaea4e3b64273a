"""The policy file: its form, its default, and reading it strictly.

Guarantees: a file is read whole or refused with the line that is wrong; nothing in it is guessed.

Source: RFC-0003.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, get_args

from kernel.errors import Invalid
from kernel.syscalls.declare import SafetyTier

POLICY_NAME: Final = "policy.csv"
"""In the home."""
POLICY_BYTES_MAX: Final = 256 * 1024
RULES_MAX: Final = 200
"""casbin compares every rule on a first decision: 200 cost 1 ms."""

TIERS: Final[tuple[str, ...]] = get_args(SafetyTier)
_RULE_FIELDS: Final = 4
_INHERITANCE_FIELDS: Final = 2
_EFFECTS: Final = ("allow", "deny")
_ROLE: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_NAME: Final = re.compile(r"\*|(?:tool|kernel)/(?:\*|[a-z0-9_.:-]+\*?)")

Rule: TypeAlias = tuple[str, str, str, str]
"""Role, syscall pattern, tier or `*`, `allow` or `deny`."""

DEFAULT_POLICY: Final = """\
# Which role may call which syscall. Read again as soon as it is saved; a mistake refuses every call.
#
#   p, ROLE, SYSCALL, TIER[, allow|deny]    deny beats allow
#   g, ROLE, OTHER                          ROLE may do what OTHER may
#
# SYSCALL is tool/NAME for what a model may call and kernel/NAME for the rest; a * may end it.
# TIER is read_only, side_effecting, privileged or *.
# Which file, host or program a call may touch is not said here but by capabilities: `oxios caps`.

# Looks at the system, changes nothing.
p, viewer, kernel/*, read_only
p, viewer, kernel/self.*, *

# Agents call tools and models; never the kernel's other syscalls: capabilities, approvals, runs …
p, agent, tool/*, *
p, agent, kernel/model, read_only

# A person who works with agents.
g, user, viewer
p, user, tool/*, *
p, user, kernel/runs.*, *
p, user, kernel/approvals.*, *
p, user, kernel/budget.*, *
p, user, kernel/undo, *
p, user, kernel/seeds.*, *

# The person the machine belongs to.
g, operator, user
p, operator, kernel/*, *
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules, and which role may do what another may."""

    rules: tuple[Rule, ...]
    inherits: tuple[tuple[str, str], ...]


def ensure_policy(path: Path) -> bool:
    """Write the default where no file stands yet, mode 0600; True where it was written."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(DEFAULT_POLICY)
    return True


def parse_policy(raw: bytes) -> Policy:
    """Raises: Invalid, naming the line."""
    if len(raw) > POLICY_BYTES_MAX:
        raise Invalid("it is too large", remedy=f"at most {POLICY_BYTES_MAX} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Invalid(f"line {line} is not UTF-8", remedy="save it as UTF-8") from error
    rules: list[Rule] = []
    inherits: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = [field.strip() for field in line.partition("#")[0].split(",")]
        if fields == [""]:
            continue
        if fields[0] == "g":
            inherits.append(_inheritance(number, fields[1:]))
        elif fields[0] == "p":
            rules.append(_rule(number, fields[1:]))
        else:
            raise Invalid(f"line {number} begins with {fields[0]!r}", remedy="begin it with p, g or #")
    if len(rules) + len(inherits) > RULES_MAX:
        raise Invalid(f"it has {len(rules) + len(inherits)} rules", remedy=f"at most {RULES_MAX}; use patterns")
    return Policy(tuple(rules), tuple(inherits))


def _rule(number: int, fields: list[str]) -> Rule:
    if len(fields) == _RULE_FIELDS - 1:
        fields = [*fields, "allow"]
    if len(fields) != _RULE_FIELDS:
        raise Invalid(
            f"line {number} has {len(fields)} fields after p", remedy="write p, ROLE, SYSCALL, TIER[, allow|deny]"
        )
    role, name, tier, effect = fields
    _check_role(number, role)
    if not _NAME.fullmatch(name):
        raise Invalid(f"line {number} names no syscall: {name!r}", remedy="write tool/NAME, kernel/NAME, tool/* or *")
    if tier not in (*TIERS, "*"):
        raise Invalid(f"line {number} has the unknown tier {tier!r}", remedy=f"use one of {', '.join(TIERS)} or *")
    if effect not in _EFFECTS:
        raise Invalid(f"line {number} says {effect!r}", remedy="say allow or deny")
    return role, name, tier, effect


def _inheritance(number: int, fields: list[str]) -> tuple[str, str]:
    if len(fields) != _INHERITANCE_FIELDS:
        raise Invalid(f"line {number} has {len(fields)} fields after g", remedy="write g, ROLE, OTHER")
    role, other = fields
    _check_role(number, role)
    _check_role(number, other)
    return role, other


def _check_role(number: int, role: str) -> None:
    if not _ROLE.fullmatch(role):
        raise Invalid(f"line {number} names no role: {role!r}", remedy="use lower-case letters, digits, _ and -")
