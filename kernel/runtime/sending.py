"""One request to one model, for whoever asks: permit, reservation, stream, settlement.

Guarantees: nothing is sent without a permit that covers `model:PROVIDER/NAME` and a reservation of
prompt and answer in the caller's account; the reservation is settled by what the provider reported,
by the reserved estimate where it reported nothing or failed. A revoked capability ends the request.
What this does not do: journal. Whoever asks has a stream of its own and says there what it asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from kernel.engine import money
from kernel.engine.failures import Failure
from kernel.engine.plan import Compact, Try, Wait
from kernel.engine.pursue import Shown, pursue
from kernel.engine.routes import Phase
from kernel.errors import BudgetExhausted, CapabilityRevoked, Invalid, KernelBug, OxiosError, ProviderDown
from kernel.gate.decision import Denied
from kernel.gate.request import Cost, Request
from kernel.ids import CallId, RunId
from kernel.jsontypes import JsonValue
from kernel.limits import MODEL_DEADLINE_S
from kernel.log import get_logger
from kernel.ports.provider import (
    Attachment,
    Message,
    ModelEvent,
    ModelRequest,
    Provider,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolSpec,
    Usage,
)
from kernel.runtime.attached import refusal
from kernel.runtime.dispatch import Caller, Dispatcher, digest_of
from kernel.runtime.live import LiveReasoning, LiveText
from kernel.runtime.model import Exchange, ModelArgs, ModelDesk, model
from kernel.runtime.text import cut_bytes
from kernel.syscalls.permit import Permit

_log = get_logger("sending")

OUTPUT_TOKENS_MAX: Final = 8192
OUTPUT_TOKENS_MIN: Final = 256
REASONING_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request. `stream` is where its deltas are heard; `call` is its own among those under way."""

    stream: RunId
    call: CallId
    model: str
    messages: Sequence[Message]
    prompt_tokens: int
    tools: Sequence[ToolSpec] = ()
    output_tokens_max: int = OUTPUT_TOKENS_MAX
    phase: Phase = "turn"
    persona: str = ""
    attached: Sequence[Attachment] = ()
    """The files in `messages`: the model must take them."""
    on_failed: Callable[[Try, Failure], None] = lambda _step, _failure: None
    """Told of each attempt that failed, before the next."""
    on_fallback: Callable[[Try], None] = lambda _step: None
    """Told when another model than the one before is asked."""


@dataclass(frozen=True, slots=True)
class Sending:
    """Sends requests as one caller, at the cost of that caller's account."""

    dispatcher: Dispatcher
    desk: ModelDesk
    caller: Caller

    async def send(self, outgoing: Outgoing) -> tuple[Reply, Cost]:
        """The reply, and what it cost; after other keys and models where the engine has them.

        Raises: OxiosError: what the gate or the providers said; BudgetExhausted; Invalid (a money
        budget, and no price known).
        """
        await self.desk.refresh()
        async with self.desk.engine.asking(outgoing.model, outgoing.phase, persona=outgoing.persona) as attempts:

            async def attempt(step: Try, shown: Shown) -> tuple[Reply, Cost]:
                if step.fallback_from:
                    outgoing.on_fallback(step)
                async with attempts.slot(step, outgoing.prompt_tokens):
                    return await self._attempt(outgoing, step, attempts.provider_of(step), shown)

            return await pursue(
                attempts.plan,
                self.dispatcher.clock,
                attempt,
                compact=_cannot_compact,
                failed=outgoing.on_failed,
                waiting=_log_wait,
            )

    async def _attempt(self, outgoing: Outgoing, step: Try, provider: Provider, shown: Shown) -> tuple[Reply, Cost]:
        """One model and key: its own permit, its own reservation."""
        if outgoing.attached and (refused := refusal(outgoing.attached, step.facts)):
            raise refused
        cost = self._cost_at_most(outgoing, step)
        request = self._permit_request(outgoing, step, cost)
        decision = await self.dispatcher.gate.admit(request)
        if isinstance(decision, Denied):
            raise (
                BudgetExhausted(decision.reason, remedy=decision.remedy)
                if decision.layer == "budget"
                else decision.error()
            )
        used = cost
        exchange = Exchange(provider, _model_request(outgoing, step, cost), self._listener(outgoing.stream, shown))
        try:
            reply = await self._stream(step, request, decision, exchange)
            used = _used(step, reply.usage, cost)
        finally:
            self.dispatcher.budgets.settle(decision.reservation, used)
            self.dispatcher.ledger.release(decision)
        return reply, used

    async def _stream(self, step: Try, request: Request, permit: Permit, exchange: Exchange) -> Reply:
        self.desk.exchanges[request.call] = exchange
        withdrawn: list[str] = []
        with anyio.CancelScope() as scope:

            def withdraw(reason: str) -> None:
                withdrawn.append(reason)
                scope.cancel()

            try:
                self.dispatcher.ledger.redeem(permit, request.syscall.name, request.arguments, withdraw)
                await request.syscall.invoke(self.dispatcher.context(self.caller, request, permit), request.args)
            except (OxiosError, KernelBug, AssertionError):
                raise
            except Exception as error:
                # A supervision point: one provider's fault must not end the kernel.
                _log.exception("provider_failed", model=step.model, stream=request.stream)
                raise ProviderDown(
                    f"the provider of {step.model} failed: {type(error).__name__}: {error}",
                    remedy="this is a fault of Oxios; resume to ask again, or choose another model",
                ) from error
            finally:
                self.desk.exchanges.pop(request.call, None)
        if exchange.reply is None:
            reason = withdrawn[0] if withdrawn else "it was cancelled"
            raise CapabilityRevoked(
                f"the request to {step.model} was stopped: {reason}", remedy="grant the model again"
            )
        return exchange.reply

    def _listener(self, stream: RunId, shown: Shown) -> Callable[[ModelEvent], None]:
        live = self.dispatcher.live

        def on_event(event: ModelEvent) -> None:
            if not live.heard(stream):
                return
            shown.visible = True
            if isinstance(event, TextDelta):
                live.publish(LiveText(stream, event.text))
            elif isinstance(event, ReasoningDelta):
                live.publish(LiveReasoning(stream, event.text))

        return on_event

    def _cost_at_most(self, outgoing: Outgoing, step: Try) -> Cost:
        """What the request may cost: less answer where little budget is left."""
        left = self.dispatcher.budgets.remaining(self.caller.account)
        prompt, answer = outgoing.prompt_tokens, min(outgoing.output_tokens_max, step.facts.output_tokens)
        if left.tokens_max is not None:
            answer = max(min(OUTPUT_TOKENS_MIN, answer), min(answer, left.tokens_max - prompt))
        if left.micro_usd_max is not None and step.price is None:
            raise Invalid(
                f"there is a money budget and the price of {step.model} is not known",
                remedy="set input_usd_per_mtok and output_usd_per_mtok under providers.NAME, or budget tokens",
            )
        return Cost(tokens=prompt + answer, calls=0, micro_usd=money.cost_at_most(step.price, prompt, answer))

    def _permit_request(self, outgoing: Outgoing, step: Try, cost: Cost) -> Request:
        args = ModelArgs(model=step.model, tokens=cost.tokens)
        return Request(
            principal=self.caller.principal,
            owner=self.caller.owner,
            role=self.caller.role,
            run=outgoing.stream,
            call=outgoing.call,
            syscall=model,
            args=args,
            arguments=digest_of(args),
            mounts=(),
            account=self.caller.account,
            cost=cost,
        )


def _model_request(outgoing: Outgoing, step: Try, cost: Cost) -> ModelRequest:
    return ModelRequest(
        model=step.name,
        messages=outgoing.messages,
        tools=outgoing.tools,
        output_tokens_max=cost.tokens - outgoing.prompt_tokens,
        deadline_s=min(MODEL_DEADLINE_S, max(step.deadline_s, 1.0)),
        key=step.key.value,
    )


def _used(step: Try, usage: Usage, reserved: Cost) -> Cost:
    if not usage.reported:
        return reserved
    return Cost(tokens=usage.input_tokens + usage.output_tokens, calls=0, micro_usd=money.cost(step.price, usage))


async def _cannot_compact(_step: Compact) -> bool:
    """Whoever asked owns the conversation: it hears ContextOverflow, shortens it, and asks again."""
    return False


def _log_wait(wait: Wait) -> None:
    _log.info("model_wait", seconds=wait.seconds, why=wait.why)


def reply_payload(reply: Reply, purpose: str, used: Cost, took_ms: int) -> dict[str, JsonValue]:
    """What model.reply says of any reply; its calls are the business of whoever asked."""
    payload: dict[str, JsonValue] = {
        "text": reply.text,
        "finish": reply.finish,
        "model": reply.model,
        "ms": took_ms,
        "usage": {
            "in": reply.usage.input_tokens,
            "out": reply.usage.output_tokens,
            "cached": reply.usage.cached_tokens,
        },
    }
    if used.micro_usd:
        payload["micro_usd"] = used.micro_usd
    if reply.reasoning:
        payload["reasoning"] = cut_bytes(reply.reasoning, REASONING_BYTES_MAX)
    if purpose != "turn":
        payload["purpose"] = purpose
    return payload
