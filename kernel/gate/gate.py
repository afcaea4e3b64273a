"""The gate: the one way to a permit.

Guarantees: the layers run in the order of `LayerName`, all of them, and the first refusal ends the
call; a layer that fails in any unforeseen way refuses. While the journal cannot be written nothing
is allowed. Between the last look at the capabilities and the permit nothing waits, and from then
on a revocation withdraws the permit. Every refusal is an entry; what was reserved for a call that
is refused or asked about is given back.

What this does not protect against: a body that does more than its claims say. The tools open what
the permit resolved and nothing else, the sandbox bounds processes, and the audit-hook test watches.

Source: RFC-0003.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

from kernel.capability.table import CapabilityTable
from kernel.errors import CapabilityRevoked, KernelBug, OxiosError
from kernel.gate.decision import Case, Decision, Denied, LayerName, NeedsApproval, Question, denied_payload
from kernel.gate.layers import ORDER, Layer
from kernel.gate.request import Request
from kernel.ids import ApprovalId, CapId
from kernel.journal.appender import Appender
from kernel.journal.entry import Draft
from kernel.log import get_logger
from kernel.syscalls.permit import Permit, PermitLedger

DENIED: Final = "call.denied"
Refund: TypeAlias = Callable[[int], object]
"""Give back what a reservation took from a budget."""
_log = get_logger("gate")


class Approvals(Protocol):
    """Where a question to a person goes."""

    async def resolve(self, request: Request, question: Question) -> ApprovalId | Denied:
        """Ask, record question and answer, and wait for it no longer than APPROVAL_WAIT_S."""
        ...


class Gate:
    """Built once, at boot."""

    def __init__(
        self,
        journal: Appender,
        table: CapabilityTable,
        ledger: PermitLedger,
        layers: tuple[Layer, ...],
        *,
        refund: Refund,
        approvals: Approvals | None = None,
    ) -> None:
        """Raises: KernelBug, unless `layers` are exactly those of `LayerName`, in its order."""
        names = tuple(layer.name for layer in layers)
        if names != ORDER:
            raise KernelBug(f"the gate's layers are {names}, not {ORDER}")
        self._journal = journal
        self._table = table
        self._ledger = ledger
        self._layers = layers
        self._refund = refund
        self._approvals = approvals
        table.on_revoked(self.withdraw)

    def withdraw(self, revoked: Iterable[CapId], reason: str) -> tuple[Permit, ...]:
        """Void every live permit that rests on one of `revoked`, and stop the calls that use them."""
        return self._ledger.withdraw(revoked, reason)

    async def admit(self, request: Request) -> Permit | Denied:
        """Decide; where a person must be asked, ask, and then decide again from the start."""
        decision = await self.decide(request)
        if not isinstance(decision, NeedsApproval):
            return decision
        answer = await self._ask(request, decision.question)
        if isinstance(answer, Denied):
            return self._refuse(request, answer)
        again = await self.decide(request, approval=answer)
        if isinstance(again, NeedsApproval):
            return self._refuse(
                request,
                Denied(
                    "approval",
                    f"approval {answer} does not settle what has to be approved now",
                    "the policy or the target changed while the question stood; try the call again",
                ),
            )
        return again

    async def decide(self, request: Request, *, approval: ApprovalId | None = None) -> Decision:
        """One pass through the layers. A Denied is recorded in the request's stream; a Permit is live.

        `approval` is the answered question that the approval layer may rest on.
        """
        if not self._journal.writable:
            return self._refuse(
                request,
                Denied(
                    "journal",
                    "the journal cannot be written, so nothing may be done",
                    "see `oxios doctor`; it recovers by itself when the disk does",
                ),
            )
        case = Case(request, approval=approval or "")
        permit: Permit | None = None
        try:
            stopped = await self._walk(case)
            if stopped is None:
                permitted = await self._permit(case)
                if isinstance(permitted, Permit):
                    permit = permitted
                    return permitted
                stopped = permitted
        finally:
            if permit is None and case.reservation:
                self._refund(case.reservation)
        return self._refuse(request, stopped) if isinstance(stopped, Denied) else stopped

    async def _walk(self, case: Case) -> Denied | NeedsApproval | None:
        for layer in self._layers:
            try:
                stopped = await layer.check(case)
            except KernelBug:
                raise
            except Exception as error:  # noqa: BLE001 -- whatever it is, the answer is no
                _log.exception("layer_failed", layer=layer.name, tool=case.request.syscall.name, call=case.request.call)
                return _failed(layer.name, error)
            if stopped is not None:
                return stopped
        return None

    async def _permit(self, case: Case) -> Permit | Denied:
        request = case.request
        if not self._table.usable(case.capabilities):
            return _gone("a capability it rests on was revoked or ran out while it was decided")
        permit = self._ledger.issue(
            Permit(
                principal=request.principal,
                call=request.call,
                syscall=request.syscall.name,
                arguments=request.arguments,
                needs=tuple(case.needs),
                capabilities=tuple(case.capabilities),
                targets=case.targets,
                reservation=case.reservation,
                approval=case.approval,
            )
        )
        if not self._table.counted(case.capabilities):
            return permit
        # The permit is live already, so a revocation during the wait withdraws it.
        try:
            await self._table.consume(case.capabilities, by=request.principal)
        except CapabilityRevoked as error:
            self._ledger.release(permit)
            return _gone(error.message)
        except OxiosError as error:
            self._ledger.release(permit)
            return Denied("journal", error.message, error.remedy)
        except BaseException:
            self._ledger.release(permit)
            raise
        return permit

    async def _ask(self, request: Request, question: Question) -> ApprovalId | Denied:
        if self._approvals is None:
            return Denied(
                "approval",
                f"{question.tool} has to be approved and nobody is there to ask",
                "run it where somebody listens, or let the operator allow it in advance",
            )
        try:
            return await self._approvals.resolve(request, question)
        except KernelBug:
            raise
        except Exception as error:  # noqa: BLE001 -- as for the layers
            _log.exception("asking_failed", tool=question.tool, call=request.call)
            return _failed("approval", error)

    def _refuse(self, request: Request, denied: Denied) -> Denied:
        try:
            self._journal.append(Draft(request.principal, request.stream, DENIED, denied_payload(request, denied)))
        except OxiosError as error:
            # Refusing needs no record to be safe; that there is none is worth a line.
            _log.warning("refusal_not_recorded", call=request.call, why=error.message)
        return denied


def _failed(layer: LayerName, error: Exception) -> Denied:
    if isinstance(error, OxiosError):
        return Denied(layer, error.message, error.remedy)
    return Denied(
        layer,
        f"the {layer} layer failed ({type(error).__name__}), so the call is refused",
        "this is a fault of Oxios; the log has the details",
    )


def _gone(reason: str) -> Denied:
    return Denied("capability", reason, "ask its holder for a new capability, then repeat the call")
