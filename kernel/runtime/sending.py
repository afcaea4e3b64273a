"""One request to one model, for whoever asks: permit, reservation, stream, settlement.

Guarantees: nothing is sent without a permit that covers `model:PROVIDER/NAME` and a reservation of
prompt and answer in the caller's account; the reservation is settled by what the provider reported,
by the reserved estimate where it reported nothing or failed. A revoked capability ends the request.
What this does not do: journal. Whoever asks has a stream of its own and says there what it asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.errors import BudgetExhausted, CapabilityRevoked, Invalid, KernelBug, OxiosError, ProviderDown
from kernel.gate.decision import Denied
from kernel.gate.request import Cost, Request
from kernel.ids import CallId, RunId
from kernel.jsontypes import JsonValue
from kernel.log import get_logger
from kernel.ports.provider import (
    Message,
    ModelEvent,
    ModelRequest,
    Price,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolSpec,
    Usage,
)
from kernel.runtime.dispatch import Caller, Dispatcher, digest_of
from kernel.runtime.live import LiveReasoning, LiveText
from kernel.runtime.model import Exchange, ModelArgs, ModelDesk, model
from kernel.runtime.text import cut_bytes
from kernel.syscalls.permit import Permit

_log = get_logger("sending")

OUTPUT_TOKENS_MAX: Final = 8192
OUTPUT_TOKENS_MIN: Final = 256
REASONING_BYTES_MAX: Final = 4096
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request. `stream` is where its deltas are heard; `call` is its own among those under way."""

    stream: RunId
    call: CallId
    model: str
    messages: Sequence[Message]
    prompt_tokens: int
    tools: Sequence[ToolSpec] = ()
    tools_wire: dict[str, bytes] = field(default_factory=dict[str, bytes])
    output_tokens_max: int = OUTPUT_TOKENS_MAX


@dataclass(frozen=True, slots=True)
class Sending:
    """Sends requests as one caller, at the cost of that caller's account."""

    dispatcher: Dispatcher
    desk: ModelDesk
    caller: Caller

    async def send(self, outgoing: Outgoing) -> tuple[Reply, Cost]:
        """The reply, and what it cost.

        Raises: OxiosError: what the gate or the provider said; BudgetExhausted; Invalid (a money
        budget, and no price known).
        """
        cost = self._cost_at_most(outgoing)
        request = self._permit_request(outgoing, cost)
        decision = await self.dispatcher.gate.admit(request)
        if isinstance(decision, Denied):
            raise (
                BudgetExhausted(decision.reason, remedy=decision.remedy)
                if decision.layer == "budget"
                else decision.error()
            )
        used = cost
        try:
            reply = await self._stream(outgoing, request, decision, self._model_request(outgoing, cost))
            used = self._used(outgoing.model, reply.usage, cost)
        finally:
            self.dispatcher.budgets.settle(decision.reservation, used)
            self.dispatcher.ledger.release(decision)
        return reply, used

    async def _stream(self, outgoing: Outgoing, request: Request, permit: Permit, ask: ModelRequest) -> Reply:
        exchange = Exchange(ask, self._listener(outgoing.stream))
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
                _log.exception("provider_failed", model=outgoing.model, stream=outgoing.stream)
                raise ProviderDown(
                    f"the provider of {outgoing.model} failed: {type(error).__name__}: {error}",
                    remedy="this is a fault of Oxios; resume to ask again, or choose another model",
                ) from error
            finally:
                self.desk.exchanges.pop(request.call, None)
        if exchange.reply is None:
            reason = withdrawn[0] if withdrawn else "it was cancelled"
            raise CapabilityRevoked(
                f"the request to {outgoing.model} was stopped: {reason}", remedy="grant the model again"
            )
        return exchange.reply

    def _listener(self, stream: RunId) -> Callable[[ModelEvent], None]:
        live = self.dispatcher.live

        def on_event(event: ModelEvent) -> None:
            if not live.heard(stream):
                return
            if isinstance(event, TextDelta):
                live.publish(LiveText(stream, event.text))
            elif isinstance(event, ReasoningDelta):
                live.publish(LiveReasoning(stream, event.text))

        return on_event

    def _cost_at_most(self, outgoing: Outgoing) -> Cost:
        """What the request may cost: less answer where little budget is left."""
        left = self.dispatcher.budgets.remaining(self.caller.account)
        prompt, answer = outgoing.prompt_tokens, outgoing.output_tokens_max
        if left.tokens_max is not None:
            answer = max(min(OUTPUT_TOKENS_MIN, answer), min(answer, left.tokens_max - prompt))
        price = self.desk.price_of(outgoing.model)
        if left.micro_usd_max is not None and price is None:
            raise Invalid(
                f"there is a money budget and the price of {outgoing.model} is not known",
                remedy="set input_usd_per_mtok and output_usd_per_mtok under providers.NAME, or budget tokens",
            )
        return Cost(tokens=prompt + answer, calls=0, micro_usd=_money(price, prompt, 0, answer))

    def _used(self, name: str, usage: Usage, reserved: Cost) -> Cost:
        if not usage.reported:
            return reserved
        price = self.desk.price_of(name)
        fresh = usage.input_tokens - usage.cached_tokens
        money = _money(price, fresh, usage.cached_tokens, usage.output_tokens)
        return Cost(tokens=usage.input_tokens + usage.output_tokens, calls=0, micro_usd=money)

    def _permit_request(self, outgoing: Outgoing, cost: Cost) -> Request:
        args = ModelArgs(model=outgoing.model, tokens=cost.tokens)
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

    def _model_request(self, outgoing: Outgoing, cost: Cost) -> ModelRequest:
        _, name = self.desk.provider_of(outgoing.model)
        return ModelRequest(
            model=name,
            messages=outgoing.messages,
            tools=outgoing.tools,
            output_tokens_max=cost.tokens - outgoing.prompt_tokens,
            tools_wire=outgoing.tools_wire,
        )


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


def _money(price: Price | None, fresh: int, cached: int, answer: int) -> int:
    """Micro-dollars, rounded up."""
    if price is None:
        return 0
    millionths = fresh * price.input_micro_usd + cached * price.cached_micro_usd + answer * price.output_micro_usd
    return -(-millionths // _MICRO)
