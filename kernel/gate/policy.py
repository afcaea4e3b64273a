"""When a person is asked: policies, modes, and the keys that an allow-list or an answer names.

| policy    | runs unasked                                                        |
|-----------|---------------------------------------------------------------------|
| auto      | always                                                              |
| on_demand | in mode `auto`; in mode `allow-list` where the list names the call; |
|           | in any mode where a person said so for this run or always           |
| always    | never                                                               |

Guarantees: a command that `danger` recognises is always asked about, whatever the settings say. A
command's keys must all be allowed, unless its tool is, or it runs sandboxed without network and
`exec:sandboxed` is.

By default `write`, `edit` and `exec:sandboxed` are allowed: the sandbox and the undo are the
boundary, and a person is asked where it is crossed. People accept nearly every prompt they see
often, so a prompt that is rare is worth more than one that is not.

Source: RFC-0007.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from kernel.gate.commands import danger
from kernel.limits import APPROVAL_WAIT_S
from kernel.ports.sandbox import Tier
from kernel.settings.tree import ApprovalMode, ApprovalSettings
from kernel.syscalls.declare import ApprovalPolicy
from kernel.syscalls.target import CommandTarget, Target, UrlTarget

SANDBOXED: Final = "exec:sandboxed"
SHELL: Final = "exec:shell"
NETWORK: Final = "exec:network"
_NOT_PROGRAMS: Final = frozenset({SANDBOXED, SHELL, NETWORK})


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings' `approval` table."""

    mode: ApprovalMode = "allow-list"
    allow: frozenset[str] = frozenset(ApprovalSettings().allow)
    policies: Mapping[str, ApprovalPolicy] = field(default_factory=dict[str, ApprovalPolicy])
    wait_s: float = APPROVAL_WAIT_S


@dataclass(frozen=True, slots=True)
class Keys:
    """What would let a call run unasked: one of `any_of`, or all of `all_of` (where there are any)."""

    any_of: tuple[str, ...]
    all_of: tuple[str, ...] = ()

    @property
    def narrowest_first(self) -> tuple[str, ...]:
        return (*self.all_of, *self.any_of)


def policy_of(declared: ApprovalPolicy, tool: str, rules: Rules, perilous: str) -> ApprovalPolicy:
    """The policy in force: what the settings say in place of the declaration, raised by danger."""
    return "always" if perilous else rules.policies.get(tool, declared)


def keys_of(tool: str, targets: Iterable[Target], tier: Tier) -> Keys:
    """The keys of one call. `tier` is the sandbox tier that a command would run in."""
    any_of, all_of = [tool], list[str]()
    for target in targets:
        if isinstance(target, CommandTarget):
            all_of += map(_key_of_program, target.programs)
            all_of += [SHELL] if target.shell else []
            all_of += [NETWORK] if target.network else []
            if tier == "bubblewrap" and not target.network:
                any_of.append(SANDBOXED)
        elif isinstance(target, UrlTarget):
            all_of.append(f"net:{target.host}")
    return Keys(tuple(any_of), tuple(dict.fromkeys(all_of)))


def _key_of_program(program: str) -> str:
    """`exec:git`; a program that is called like one of the other keys gets one that says less."""
    key = f"exec:{program}"
    return f"exec:\\{program}" if key in _NOT_PROGRAMS else key


def remembered_by(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Which of a question's keys an answer of `run` or `always` allows: the narrow ones, else the tool.

    Never `exec:sandboxed`: that one belongs to the settings.
    """
    narrow = tuple(key for key in keys if ":" in key and key != SANDBOXED)
    return narrow or keys[:1]


def peril(targets: Iterable[Target]) -> str:
    """Why a person must be asked every time, or ""."""
    return next((why for each in targets if isinstance(each, CommandTarget) and (why := danger(each))), "")
