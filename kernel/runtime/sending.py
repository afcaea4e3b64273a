"""One request to one model, for whoever asks: permit, reservation, stream, settlement.

Guarantees: nothing is sent without a permit that covers `model:PROVIDER/NAME` and a reservation of
prompt and answer in the caller's account; under a cap the reservation is the most that it can cost,
and durable in the stream before anything is sent. It is settled by what the provider reported, in
full where it reported nothing or broke off, and by nothing where it refused; under a cap never by
more than was reserved. Each attempt leaves its receipt (`kernel.runtime.receipts`), a cancelled one
too. A revoked capability ends the request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import anyio

from kernel.engine import money
from kernel.engine.failures import Failure, FailureClass, classify
from kernel.engine.plan import Compact, Try
from kernel.engine.pursue import Shown, pursue
from kernel.engine.routes import Phase
from kernel.errors import BudgetExhausted, CapabilityRevoked, Invalid, KernelBug, OxiosError, ProviderDown
from kernel.gate.decision import Denied
from kernel.gate.request import Cost, Request
from kernel.ids import CallId, RunId
from kernel.limits import MODEL_DEADLINE_S
from kernel.log import get_logger
from kernel.ports.provider import (
    Attachment,
    Message,
    ModelEvent,
    ModelRequest,
    NoModelServer,
    Provider,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolSpec,
    Unreachable,
    Usage,
)
from kernel.runtime.attached import refusal
from kernel.runtime.bound import PromptBound
from kernel.runtime.dispatch import Caller, Dispatcher, digest_of
from kernel.runtime.live import LiveReasoning, LiveText
from kernel.runtime.model import Exchange, ModelArgs, ModelDesk, model
from kernel.runtime.receipts import Receipts
from kernel.runtime.spending import NOTHING
from kernel.syscalls.permit import Permit

_log = get_logger("sending")

OUTPUT_TOKENS_MAX: Final = 8192
OUTPUT_TOKENS_MIN: Final = 256
_UNBILLED: Final = frozenset(
    {
        FailureClass.RATE_LIMIT,
        FailureClass.AUTH,
        FailureClass.BILLING,
        FailureClass.OVERLOADED,
        FailureClass.OVERFLOW,
        FailureClass.MODEL_UNKNOWN,
        FailureClass.REQUEST,
    }
)
"""Refusals: no answer was begun."""
_OWN_WORD: Final = frozenset({HTTPStatus.TOO_EARLY, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses that a model's own server says where it answers nothing. Others of 5xx may come from somebody
before it that gave up waiting (502, 504, 520, 524), while behind it an answer was made."""


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
    bound: PromptBound | None = None
    """What is known of the prompt's size; None where it is counted from nothing."""
    round: int = 0
    """Of the run, as `model.request` has it."""
    aside: bool = False
    """The answer is nothing that the agent says: nobody is shown it as it comes."""

    def prompt_tokens_max(self, model: str) -> int:
        bound = self.bound or PromptBound(self.tools)
        return bound.at_most(model, self.messages)


@dataclass(frozen=True, slots=True)
class Sending:
    """Sends requests as one caller, at the cost of that caller's account."""

    dispatcher: Dispatcher
    desk: ModelDesk
    caller: Caller

    async def ask(self, outgoing: Outgoing, receipts: Receipts) -> tuple[Reply, Cost]:
        """The reply and what it cost, recorded; after other keys and models where the engine has them.

        Raises: OxiosError: what the gate or the providers said; BudgetExhausted; Invalid (a money
        budget, and no price known).
        """
        await self.desk.refresh()
        started_s = self.dispatcher.clock.monotonic_s()
        owed: list[Cost] = []

        def failed(step: Try, failure: Failure) -> None:
            receipts.failed(step, failure, owed.pop() if owed else NOTHING)

        async def attempt(step: Try, shown: Shown) -> tuple[Reply, Cost]:
            if step.fallback_from:
                receipts.fell_back(step)
            async with attempts.slot(step, outgoing.prompt_tokens):
                one = _Attempt(self, outgoing, step, attempts.provider_of(step), receipts, owed)
                reply, used = await one.send(shown)
                took_ms = round((self.dispatcher.clock.monotonic_s() - started_s) * 1000)
                receipts.replied(step, reply, used, took_ms)  # With no wait since it was settled.
                return reply, used

        try:
            async with self.desk.engine.asking(outgoing.model, outgoing.phase, persona=outgoing.persona) as attempts:
                return await pursue(
                    attempts.plan,
                    self.dispatcher.clock,
                    attempt,
                    compact=_cannot_compact,
                    failed=failed,
                    waiting=receipts.waiting,
                )
        except OxiosError as error:
            receipts.refused(error)
            raise


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One model and key: its own permit, its own reservation. `owed` is left what a failed one costs."""

    sending: Sending
    outgoing: Outgoing
    step: Try
    provider: Provider
    receipts: Receipts
    owed: list[Cost]

    @property
    def dispatcher(self) -> Dispatcher:
        return self.sending.dispatcher

    async def send(self, shown: Shown) -> tuple[Reply, Cost]:
        """Raises: OxiosError."""
        refused = refusal(self.outgoing.attached, self.step.facts)
        if refused is not None:
            raise refused
        budgets, account = self.dispatcher.budgets, self.sending.caller.account
        capped = budgets.capped(account)
        cost, answer = self._cost_at_most(capped=capped)
        request = self._permit_request(cost)
        decision = await self.dispatcher.gate.admit(request)
        if isinstance(decision, Denied):
            exhausted = BudgetExhausted(decision.reason, remedy=decision.remedy)
            raise exhausted if decision.layer == "budget" else decision.error()
        exchange = Exchange(self.provider, self._model_request(answer), self._listener(shown))
        used = NOTHING
        try:
            if capped:
                await self.receipts.reserved(self.step, cost)
            reply = await self._stream(request, decision, exchange)
            used = self._used(reply.usage, cost, capped=capped)
            if capped and self.outgoing.bound is not None and reply.usage.reported:
                self.outgoing.bound.counted(self.step.model, reply.usage.input_tokens, self.outgoing.messages)
        except OxiosError as error:
            used = _owed(exchange, error, cost)
            self.owed[:] = [used]
            raise
        except anyio.get_cancelled_exc_class():
            used = cost if exchange.sent else NOTHING
            self.receipts.abandoned(self.step, used)
            raise
        finally:
            budgets.settle(decision.reservation, used)
            self.dispatcher.ledger.release(decision)
        return reply, used

    async def _stream(self, request: Request, permit: Permit, exchange: Exchange) -> Reply:
        step, exchanges, deadline_s = self.step, self.sending.desk.exchanges, exchange.request.deadline_s
        exchanges[request.call] = exchange
        withdrawn: list[str] = []
        with anyio.CancelScope(deadline=anyio.current_time() + deadline_s) as scope:

            def withdraw(reason: str) -> None:
                withdrawn.append(reason)
                scope.cancel()

            try:
                self.dispatcher.ledger.redeem(permit, request.syscall.name, request.arguments, withdraw)
                context = self.dispatcher.context(self.sending.caller, request, permit)
                await request.syscall.invoke(context, request.args)
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
                exchanges.pop(request.call, None)
        if exchange.reply is not None:
            return exchange.reply
        if withdrawn:
            raise CapabilityRevoked(
                f"the request to {step.model} was stopped: {withdrawn[0]}", remedy="grant the model again"
            )
        raise ProviderDown(
            f"{step.model} did not finish its reply within {deadline_s:g} s",
            remedy="resume the run to ask again, or choose another model",
        )

    def _listener(self, shown: Shown) -> Callable[[ModelEvent], None]:
        live, stream, number = self.dispatcher.live, self.outgoing.stream, self.outgoing.round

        def on_event(event: ModelEvent) -> None:
            if self.outgoing.aside or not live.heard(stream):
                return
            if isinstance(event, TextDelta):
                shown.visible = True
                live.publish(LiveText(stream, event.text, number))
            elif isinstance(event, ReasoningDelta):
                shown.visible = True
                live.publish(LiveReasoning(stream, event.text, number))

        return on_event

    def _cost_at_most(self, *, capped: bool) -> tuple[Cost, int]:
        """What the request may cost, and the tokens of answer in it: fewer where little budget is left."""
        outgoing, step = self.outgoing, self.step
        left = self.dispatcher.budgets.remaining(self.sending.caller.account)
        prompt = outgoing.prompt_tokens_max(step.model) if capped else outgoing.prompt_tokens
        answer = min(outgoing.output_tokens_max, step.facts.output_tokens)
        least = min(OUTPUT_TOKENS_MIN, answer)
        if left.tokens_max is not None:
            answer = max(least, min(answer, left.tokens_max - prompt))
        if left.micro_usd_max is not None:
            if step.price is None:
                raise Invalid(
                    f"there is a money budget and the price of {step.model} is not known",
                    remedy="set input_usd_per_mtok and output_usd_per_mtok under providers.NAME, or budget tokens",
                )
            answer = max(least, money.answer_for(step.price, prompt, left.micro_usd_max, answer))
        micro_usd = money.cost_at_most(step.price, prompt, answer)
        return Cost(tokens=prompt + answer, calls=0, micro_usd=micro_usd), answer

    def _permit_request(self, cost: Cost) -> Request:
        args, caller = ModelArgs(model=self.step.model, tokens=cost.tokens), self.sending.caller
        return Request(
            principal=caller.principal,
            owner=caller.owner,
            role=caller.role,
            run=self.outgoing.stream,
            call=self.outgoing.call,
            syscall=model,
            args=args,
            arguments=digest_of(args),
            mounts=(),
            account=caller.account,
            cost=cost,
        )

    def _model_request(self, answer: int) -> ModelRequest:
        return ModelRequest(
            model=self.step.name,
            messages=self.outgoing.messages,
            tools=self.outgoing.tools,
            output_tokens_max=answer,
            deadline_s=min(MODEL_DEADLINE_S, max(self.step.deadline_s, 1.0)),
            key=self.step.key.value,
        )

    def _used(self, usage: Usage, reserved: Cost, *, capped: bool) -> Cost:
        """By what was reported; under a cap, what is more than can be true counts as what can."""
        if not usage.reported:
            return reserved
        tokens = max(0, usage.input_tokens) + max(0, usage.output_tokens)
        micro_usd = max(0, money.cost(self.step.price, usage))
        if not capped:
            return Cost(tokens, 0, micro_usd)
        if tokens > reserved.tokens or micro_usd > reserved.micro_usd:
            _log.warning("usage_beyond_bound", model=self.step.model, tokens=tokens, at_most=reserved.tokens)
        return Cost(min(tokens, reserved.tokens), 0, min(micro_usd, reserved.micro_usd))


def _owed(exchange: Exchange, error: OxiosError, reserved: Cost) -> Cost:
    """What a failed attempt costs: all that was reserved, unless it is certain that no answer was begun."""
    if not exchange.sent or isinstance(error, Unreachable) or (isinstance(error, NoModelServer) and error.page):
        return NOTHING
    if exchange.begun:
        return reserved
    failure = classify(error)
    return NOTHING if failure.kind in _UNBILLED or failure.status in _OWN_WORD else reserved


async def _cannot_compact(_step: Compact) -> bool:
    """Whoever asked owns the conversation: it hears ContextOverflow, shortens it, and asks again."""
    return False
