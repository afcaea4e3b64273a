"""The last layer: may this call run unasked, was it approved, or must a person be asked?

Guarantees: an agent's call that the policy does not let through needs an approval of its own. A
person's own act (the principal is the owner) is its approval; what they may do is the other
layers' business. A standing approval that a call relies on is among the capabilities that its
permit rests on.

Source: RFC-0007.
"""

from __future__ import annotations

from collections.abc import Callable

from kernel.gate.approvals import Approvals
from kernel.gate.decision import Case, LayerName, NeedsApproval
from kernel.gate.policy import Keys, Rules, keys_of, peril
from kernel.gate.question import question_of
from kernel.ids import CapId
from kernel.ports.sandbox import Tier


class ApprovalLayer:
    """`tier` says which sandbox tier a command would run in now."""

    name: LayerName = "approval"

    def __init__(self, approvals: Approvals, tier: Callable[[], Tier]) -> None:
        self._approvals = approvals
        self._tier = tier

    async def check(self, case: Case) -> NeedsApproval | None:
        request = case.request
        if request.principal == request.owner and request.owner.startswith("user:"):
            return None
        perilous = peril(case.targets.values())
        policy = self._approvals.policy_of(request.syscall, perilous)
        if policy == "auto":
            return None
        rules, goal = self._approvals.rules_for(request.run)
        if case.approval and self._approvals.redeem(case.approval, request):
            return None
        keys = keys_of(request.syscall.name, case.targets.values(), self._tier())
        if policy == "on_demand":
            resting_on = await self._allowed(case, keys, rules)
            if resting_on is not None:
                case.capabilities.extend(resting_on)
                return None
        return NeedsApproval(
            question_of(
                request,
                case.targets.values(),
                keys=keys.narrowest_first if policy == "on_demand" else (),
                tier=self._tier(),
                goal=goal,
                always=perilous or (_so_set(request.syscall.name, rules) if policy == "always" else ""),
            )
        )

    async def _allowed(self, case: Case, keys: Keys, rules: Rules) -> tuple[CapId, ...] | None:
        """What lets the call run unasked: the standing approvals it rests on, perhaps none; None: nothing does."""
        if rules.mode == "auto":
            return ()
        request = case.request
        said = set(rules.allow) if rules.mode == "allow-list" else set[str]()
        if not said.isdisjoint(keys.any_of):
            return ()
        if request.run is not None:
            said |= await self._approvals.remembered(request.run)
        if not said.isdisjoint(keys.any_of):
            return ()
        for key in keys.any_of:
            held = self._approvals.standing.covering(request.owner, key)
            if held is not None:
                return held
        return self._all_of(case, keys.all_of, said)

    def _all_of(self, case: Case, wanted: tuple[str, ...], said: set[str]) -> tuple[CapId, ...] | None:
        if not wanted:
            return None
        resting_on: list[CapId] = []
        for key in wanted:
            if key in said:
                continue
            held = self._approvals.standing.covering(case.request.owner, key)
            if held is None:
                return None
            resting_on.extend(held)
        return tuple(resting_on)


def _so_set(tool: str, rules: Rules) -> str:
    return f"approval.policies.{tool} is always" if tool in rules.policies else f"{tool} is declared so"
