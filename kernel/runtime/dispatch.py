"""The one path from a call to its effect: parse, gate, intent, body, outcome.

Guarantees: no body runs without a permit of the gate; the intent of a write or an external effect is
durable before the effect; every call that began ends in exactly one of call.outcome, call.denied and
call.invalid, unless the process dies or the run is stopped inside it, when its intent without an
outcome says so to recovery. A write's outcome follows its atomic application with no wait between.
What it does not do: judge. Who may do what is the gate's alone. Source: RFC-0004.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

import anyio
from pydantic import ValidationError

from kernel.clock import Clock
from kernel.directive import Mount
from kernel.errors import CapabilityRevoked, DeadlinePassed, Invalid, KernelBug, OxiosError
from kernel.gate.budget import BudgetLedger
from kernel.gate.decision import Denied, denied_payload
from kernel.gate.gate import Gate
from kernel.gate.request import Cost, Request
from kernel.ids import CallId, Digest, Principal, RunId
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.limits import ARGUMENT_BYTES_MAX, CALL_ERROR_CHARS_MAX, MODEL_RESULT_BYTES_MAX
from kernel.log import get_logger
from kernel.runtime.live import LiveBus, LiveProgress
from kernel.runtime.text import bound_result, cut_chars
from kernel.syscalls.declare import AnySyscall, Args, Call, Effect, Services, ToolResult
from kernel.syscalls.permit import Permit, PermitLedger
from kernel.syscalls.scrub import scrub
from kernel.syscalls.table import SyscallTable

_log = get_logger("dispatch")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: for an agent, `tools` are the names offered to it; None is every syscall."""

    principal: Principal
    owner: Principal
    role: str
    run: RunId | None = None
    mounts: tuple[Mount, ...] = ()
    account: str = ""
    tools: frozenset[str] | None = None

    @property
    def stream(self) -> str:
        return self.run or SYSTEM_STREAM


@dataclass(frozen=True, slots=True)
class Answered:
    """How a call ended: the entry that says so, and what waits until it is durable."""

    kind: str
    payload: JsonObject
    durable: Awaitable[Entry] | None = None
    refusal: Denied | None = None
    result: ToolResult | None = None
    error: OxiosError | None = None


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Calls syscalls for any caller."""

    table: SyscallTable
    gate: Gate
    ledger: PermitLedger
    budgets: BudgetLedger
    journal: Appender
    services: Services
    clock: Clock
    live: LiveBus

    async def call(self, caller: Caller, call: CallId, name: str, arguments: str) -> Answered:
        """Carry out one call; every way it can fail is an answer, not an exception.

        Raises: JournalDown, QueueFull (there is no record, so there is no effect); KernelBug.
        """
        try:
            syscall, args = self._parse(caller, name, arguments)
        except Invalid as error:
            return self._refuse(caller, call, name, error)
        request = self._request(caller, call, syscall, args)
        decision = await self.gate.admit(request)
        if isinstance(decision, Denied):
            return Answered("call.denied", denied_payload(request, decision), refusal=decision)
        answered: Answered | None = None
        try:
            answered = await self._carry_out(caller, request, decision)
            return answered
        finally:
            # A call that was broken off is counted when it has an outcome: so the ledger equals the record.
            self.budgets.settle(decision.reservation, Cost(calls=1 if answered else 0))
            self.ledger.release(decision)

    def _parse(self, caller: Caller, name: str, arguments: str) -> tuple[AnySyscall, Args]:
        """Raises: Invalid, with what the model (or person) should send instead."""
        if name not in self.table or (caller.tools is not None and name not in caller.tools):
            known = sorted(caller.tools if caller.tools is not None else (item.name for item in self.table))
            raise Invalid(f"there is no tool {name!r}", remedy=f"the tools are {', '.join(known)}")
        syscall = self.table.get(name)
        if len(arguments) > ARGUMENT_BYTES_MAX:
            raise Invalid(f"the arguments are {len(arguments)} characters", remedy=f"send at most {ARGUMENT_BYTES_MAX}")
        try:
            return syscall, syscall.args.model_validate_json(arguments or "{}")
        except ValidationError as error:
            faults = _first_faults(error, syscall.args)
            remedy = _CUT_OFF if "EOF while parsing" in faults else "correct the arguments and call again"
            raise Invalid(f"{name}: {faults}", remedy=remedy) from error

    def _refuse(self, caller: Caller, call: CallId, name: str, error: Invalid) -> Answered:
        payload: JsonObject = {
            "call": call,
            "tool": name[:100],
            # It repeats what was sent, and that may be long.
            "error": cut_chars(error.explain(), CALL_ERROR_CHARS_MAX),
        }
        durable = self.journal.append(Draft(caller.principal, caller.stream, "call.invalid", payload))
        return Answered("call.invalid", payload, durable, error=error)

    def _request(self, caller: Caller, call: CallId, syscall: AnySyscall, args: Args) -> Request:
        return Request(
            principal=caller.principal,
            owner=caller.owner,
            role=caller.role,
            run=caller.run,
            call=call,
            syscall=syscall,
            args=args,
            arguments=digest_of(args),
            mounts=caller.mounts,
            account=caller.account,
        )

    async def _carry_out(self, caller: Caller, request: Request, permit: Permit) -> Answered:
        started_s = self.clock.monotonic_s()
        deadline_s = request.syscall.deadline_s(request.args)
        withdrawn: list[str] = []
        error: OxiosError | None = None
        result = ToolResult("", is_error=True)
        with anyio.CancelScope(deadline=anyio.current_time() + deadline_s) as scope:

            def withdraw(reason: str) -> None:
                withdrawn.append(reason)
                scope.cancel()

            try:
                self.ledger.redeem(permit, request.syscall.name, request.arguments, withdraw)
                result = await self._perform(caller, request, permit)
            except OxiosError as caught:
                error = caught
            except (KernelBug, AssertionError):
                raise
            except Exception as caught:  # noqa: BLE001 -- a supervision point: one body must not end the kernel
                _log.exception("body_failed", tool=request.syscall.name, call=request.call)
                error = Invalid(f"{request.syscall.name} failed: {type(caught).__name__}: {caught}")
        if scope.cancelled_caught:
            error = _stopped(request, withdrawn, deadline_s)
        return self._outcome(caller, request, result, error, started_s)

    async def _perform(self, caller: Caller, request: Request, permit: Permit) -> ToolResult:
        syscall = request.syscall
        call = self.context(caller, request, permit)
        if syscall.effect is Effect.WRITE:
            change = await syscall.invoke(call, request.args)
            if isinstance(change, ToolResult):
                self._intend(caller, request, permit)
                return change
            await self._intend(caller, request, permit, mark=change.mark, blobs=change.blobs)
            self.ledger.confirm(permit)
            return await change.apply()
        intent = self._intend(caller, request, permit)
        if syscall.effect is Effect.EXTERNAL:
            await intent
        result = await syscall.invoke(call, request.args)
        if not isinstance(result, ToolResult):
            raise KernelBug(f"{syscall.name} returned a change, and its effect is {syscall.effect}")
        return result

    def context(self, caller: Caller, request: Request, permit: Permit) -> Call:
        """What a body is given."""

        def progress(text: str) -> None:
            if caller.run is not None and self.live.heard(caller.run):
                self.live.publish(LiveProgress(caller.run, request.call, text))

        return Call(
            id=request.call,
            principal=caller.principal,
            owner=caller.owner,
            run=caller.run,
            permit=permit,
            mounts=caller.mounts,
            clock=self.clock,
            services=self.services,
            progress=progress,
        )

    def _intend(
        self,
        caller: Caller,
        request: Request,
        permit: Permit,
        mark: JsonObject | None = None,
        blobs: tuple[bytes, ...] = (),
    ) -> Awaitable[Entry]:
        payload: dict[str, JsonValue] = {
            "call": request.call,
            "tool": request.syscall.name,
            "args": request.args.model_dump(mode="json", exclude_defaults=True),
            "effect": request.syscall.effect.value,
            "caps": list(permit.capabilities),
        }
        if permit.approval:
            payload["approval"] = permit.approval
        if mark is not None:
            payload["mark"] = mark
        return self.journal.append(Draft(caller.principal, caller.stream, "call.intent", payload, blobs))

    def _outcome(
        self, caller: Caller, request: Request, result: ToolResult, error: OxiosError | None, started_s: float
    ) -> Answered:
        # A stranger's text may hold half a surrogate pair, which no UTF-8 can carry.
        encoded = scrub(error.explain() if error else result.text).encode(errors="replace")
        text = encoded.decode()
        blobs = result.blobs
        payload: dict[str, JsonValue] = {
            "call": request.call,
            "tool": request.syscall.name,
            "ok": error is None and not result.is_error,
            "text": text,
            "ms": round((self.clock.monotonic_s() - started_s) * 1000),
        }
        if len(encoded) > MODEL_RESULT_BYTES_MAX:
            whole = hashlib.sha256(encoded).hexdigest()
            blobs = (*blobs, encoded)
            payload["text"] = bound_result(text, MODEL_RESULT_BYTES_MAX, request.call)
            payload |= {"bytes": len(encoded), "blob": whole}
        if error is not None:
            payload["error"] = error.code
        if result.data:
            payload["data"] = result.data
        try:
            durable = self.journal.append(Draft(caller.principal, caller.stream, "call.outcome", payload, blobs))
        except Invalid as unfit:
            # What a body returned must not end the run: that it did is recorded, and why the rest is not.
            told = f"{request.syscall.name} ran, and what it returned cannot be recorded: {unfit.explain()}"
            payload = {name: payload[name] for name in ("call", "tool", "ms")} | {"ok": False, "text": told}
            payload["error"] = unfit.code
            durable = self.journal.append(Draft(caller.principal, caller.stream, "call.outcome", payload))
        return Answered("call.outcome", payload, durable, result=result, error=error)


def digest_of(args: Args) -> Digest:
    """What binds a permit to its arguments."""
    return Digest(hashlib.sha256(args.model_dump_json().encode()).hexdigest())


def _stopped(request: Request, withdrawn: list[str], deadline_s: float) -> OxiosError:
    if withdrawn:
        return CapabilityRevoked(
            f"{request.syscall.name} was stopped: {withdrawn[0]}", remedy="go on without it, or ask for a new grant"
        )
    return DeadlinePassed(
        f"{request.syscall.name} did not end within {deadline_s:g} s and was stopped",
        remedy="do less in one call, or ask for more time where the tool takes timeout_s",
    )


_CUT_OFF: Final = (
    "they end in the middle, as where a reply meets its length limit: send less in one call, a long text in parts"
)


def _first_faults(error: ValidationError, args: type[Args], faults_max: int = 3) -> str:
    """What is wrong with which argument; for one that there is not, which there are."""
    faults: list[str] = []
    for fault in error.errors(include_url=False, include_context=False)[:faults_max]:
        place = ".".join(str(part) for part in fault["loc"]) or "arguments"
        known = ", ".join(args.model_fields)
        unknown = fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1
        faults.append(f"{place[:200]}: " + (f"there is none; it takes {known}" if unknown else fault["msg"]))
    return "; ".join(faults)
