"""Roles: which syscalls a role may call at all, by a policy file that the operator edits.

Guarantees: the file's newest content decides, from the first call after it was saved; a file that
is missing, unreadable or malformed anywhere refuses every call and names the line. A role that no
rule mentions may do nothing. There is no role that skips this layer.

What it does not decide: which file, host or program. Capabilities do.

casbin decides (250 µs), so each answer is kept per role and syscall until the file changes; casbin
is imported with the first decision after that.

Source: RFC-0003; casbin's RBAC model with deny override.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from kernel.errors import Invalid
from kernel.gate.decision import Case, Denied, LayerName
from kernel.gate.role_policy import POLICY_BYTES_MAX, Policy, parse_policy
from kernel.log import get_logger
from kernel.syscalls.declare import AnySyscall

_log = get_logger("gate")
_Stamp = tuple[int, int, int, int]
_REMEDY: Final = "mend it, or move it away and restart to have the default written"


class RoleLayer:
    """May this role call this syscall?"""

    name: LayerName = "roles"

    def __init__(self, policy: Path) -> None:
        self._path = policy
        self._stamp: _Stamp | None = None
        self._flaw: str = "has not been read"
        self._policy = Policy((), ())
        self._enforce: Callable[[str, str, str], bool] | None = None
        self._decided: dict[tuple[str, str], bool] = {}
        self.epoch = 0
        """Grows with every change of the file that was seen."""

    async def check(self, case: Case) -> Denied | None:
        self._refresh()
        if self._flaw:
            return Denied("roles", f"the policy file {self._path} {self._flaw}", _REMEDY)
        request = case.request
        if not request.role:
            return Denied(
                "roles",
                f"{request.principal} is no user of this Oxios",
                "have its operator add them: oxios users create",
            )
        key = (request.role, request.syscall.name)
        allowed = self._decided.get(key)
        if allowed is None:
            allowed = self._decided[key] = self._ask(request.role, request.syscall)
        if allowed:
            return None
        named = object_of(request.syscall)
        return Denied(
            "roles",
            f"role {request.role!r} may not call {request.syscall.name} ({request.syscall.tier})",
            self._remedy(request.role, named, request.syscall.tier),
            need=named,
        )

    def _remedy(self, role: str, named: str, tier: str) -> str:
        """What would let the call through: a line more, or one less where it is denied in so many words."""
        without = Policy(tuple(rule for rule in self._policy.rules if rule[-1] != "deny"), self._policy.inherits)
        if enforcer(without)(role, named, tier):
            return f"a deny line in {self._path} covers {named}; the operator can take it out"
        return f"the operator can add a line to {self._path}: p, {role}, {named}, {tier}"

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 -- on every call; pathlib's takes three times as long
        except OSError as error:
            self._stamp, self._flaw = None, f"cannot be read ({error.strerror})"
            return
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)
        if stamp != self._stamp:
            self._load(stamp)

    def _load(self, stamp: _Stamp) -> None:
        self.epoch += 1
        self._decided.clear()
        self._enforce = None
        # Stamped as it was before reading: what is saved while we read is read again next time.
        self._stamp = stamp
        try:
            with self._path.open("rb") as file:
                raw = file.read(POLICY_BYTES_MAX + 1)
            self._policy, self._flaw = parse_policy(raw), ""
        except OSError as error:
            self._flaw = f"cannot be read ({error.strerror})"
        except Invalid as error:
            self._flaw = f"is not valid: {error.explain()}"
        if self._flaw:
            _log.error("policy_refused", path=str(self._path), why=self._flaw)

    def _ask(self, role: str, syscall: AnySyscall) -> bool:
        if self._enforce is None:
            self._enforce = enforcer(self._policy)
        return self._enforce(role, object_of(syscall), syscall.tier)


def object_of(syscall: AnySyscall) -> str:
    """How the policy names a syscall: `tool/NAME` where a model may call it, else `kernel/NAME`."""
    return f"{'tool' if syscall.offered else 'kernel'}/{syscall.name}"


def enforcer(policy: Policy) -> Callable[[str, str, str], bool]:
    """The answer to (role, object, tier) under this policy, by casbin."""
    # 60 ms, which only a process that makes calls should pay. By name, because it ships no types.
    casbin = import_module("casbin")
    model = casbin.Model()
    model.load_model_from_text(_MODEL)
    casbin_enforcer = casbin.Enforcer(model)
    casbin_enforcer.add_function("matches", import_module("casbin.util").key_match_func)
    for name, rows in (("p", policy.rules), ("g", policy.inherits)):
        for row in rows:
            model.add_policy(name, name, list(row))
    casbin_enforcer.build_role_links()

    def decide(role: str, named: str, tier: str) -> bool:
        return bool(casbin_enforcer.enforce(role, named, tier))

    return decide


_MODEL: Final = """
[request_definition]
r = role, name, tier

[policy_definition]
p = role, name, tier, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = (p.tier == "*" || r.tier == p.tier) && matches(r.name, p.name) && g(r.role, p.role)
"""
