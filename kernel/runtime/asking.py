"""One model request of a run: permit, stream, reply, and what each of them costs.

Guarantees: the request's entry is appended before anything is sent, its reply or failure after; the
budget is reserved for prompt and answer before, and settled by what the provider reported (by the
reserved estimate where it reported nothing).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.errors import BudgetExhausted, CapabilityRevoked, Invalid, KernelBug, OxiosError, ProviderDown
from kernel.gate.decision import Denied
from kernel.gate.request import Cost, Request
from kernel.ids import RunId, call_id
from kernel.journal.entry import Draft, Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.log import get_logger
from kernel.ports.provider import (
    KERNEL_NOTE,
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
from kernel.runtime.loop import Purpose
from kernel.runtime.model import Exchange, ModelArgs, ModelDesk, model
from kernel.runtime.state import RunState
from kernel.runtime.summary import summary_messages
from kernel.runtime.text import cut_bytes
from kernel.syscalls.permit import Permit

_log = get_logger("asking")

OUTPUT_TOKENS_MAX: Final = 8192
OUTPUT_TOKENS_MIN: Final = 256
CHARS_PER_TOKEN: Final = 4
ENDS: Final = frozenset({"run.paused", "run.finished"})
REASONING_BYTES_MAX: Final = 4096
_MICRO: Final = 1_000_000


@dataclass(slots=True)
class Asking:
    """Model requests of one run. Not shared between runs."""

    dispatcher: Dispatcher
    desk: ModelDesk
    caller: Caller
    model: str
    tools: Sequence[ToolSpec]
    _tools_wire: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _last: Awaitable[Entry] | None = None
    _counted: int = 0
    _tokens: int = 0

    async def ask(self, state: RunState, purpose: Purpose) -> Reply:
        """Record and send one request, record its reply; both are applied to `state`.

        Raises: OxiosError, where there was no reply; model.failed is recorded then.
        """
        entry: dict[str, JsonValue] = {"round": state.turns + 1, "model": self.model}
        if purpose != "turn":
            entry["purpose"] = purpose
        self.record(state, "model.request", entry)
        started_s = self.dispatcher.clock.monotonic_s()
        try:
            reply, used = await self._exchange(state, purpose)
        except OxiosError as error:
            self.record(state, "model.failed", {**entry, "code": error.code, "message": error.explain()})
            raise
        took_ms = round((self.dispatcher.clock.monotonic_s() - started_s) * 1000)
        self.record(state, "model.reply", _reply_payload(state, reply, purpose, used, took_ms))
        if reply.calls:  # After a final answer there is nothing left to finish.
            self._warn(state)
        return reply

    def _warn(self, state: RunState) -> None:
        """Tell the agent, once for each cap, that little of its budget is left."""
        for warned in self.dispatcher.budgets.take_warnings(self.caller.account):
            used = f"{warned.used} of {warned.cap} {warned.what} of your budget are used"
            text = f"{KERNEL_NOTE}{used}. Finish with what there is."
            self.record(state, "run.steered", {"text": text, "by": "budget"})

    async def _exchange(self, state: RunState, purpose: Purpose) -> tuple[Reply, Cost]:
        """Reserve, ask the gate, stream, settle."""
        conversation = summary_messages(state) if purpose == "summary" else state.messages
        prompt_tokens = self._prompt_tokens(state) if purpose == "turn" else _tokens_of(conversation)
        cost = self._cost_at_most(prompt_tokens)
        request = self._permit_request(state, cost)
        decision = await self.dispatcher.gate.admit(request)
        if isinstance(decision, Denied):
            raise (
                BudgetExhausted(decision.reason, remedy=decision.remedy)
                if decision.layer == "budget"
                else decision.error()
            )
        used = cost
        try:
            reply = await self._stream(
                state, request, decision, self._model_request(conversation, purpose, cost, prompt_tokens)
            )
            used = self._used(reply.usage, cost)
        finally:
            self.dispatcher.budgets.settle(decision.reservation, used)
            self.dispatcher.ledger.release(decision)
        return reply, used

    async def _stream(self, state: RunState, request: Request, permit: Permit, ask: ModelRequest) -> Reply:
        exchange = Exchange(ask, self._listener(state.run))
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
                _log.exception("provider_failed", model=self.model, run=state.run)
                raise ProviderDown(
                    f"the provider of {self.model} failed: {type(error).__name__}: {error}",
                    remedy="this is a fault of Oxios; resume the run to ask again, or choose another model",
                ) from error
            finally:
                self.desk.exchanges.pop(request.call, None)
        if exchange.reply is None:
            reason = withdrawn[0] if withdrawn else "it was cancelled"
            raise CapabilityRevoked(
                f"the request to {self.model} was stopped: {reason}", remedy="grant the model again"
            )
        return exchange.reply

    def _listener(self, run: RunId) -> Callable[[ModelEvent], None]:
        live = self.dispatcher.live

        def on_event(event: ModelEvent) -> None:
            if not live.heard(run):
                return
            if isinstance(event, TextDelta):
                live.publish(LiveText(run, event.text))
            elif isinstance(event, ReasoningDelta):
                live.publish(LiveReasoning(run, event.text))

        return on_event

    def record(self, state: RunState, kind: str, payload: JsonObject) -> None:
        """Append, then apply."""
        if kind in ENDS:
            payload = {**payload, "turns": state.turns}
        self._last = self.dispatcher.journal.append(Draft(self.caller.principal, state.run, kind, payload))
        state.apply(kind, payload, self.dispatcher.clock.now_us())

    async def settle(self) -> None:
        """Wait until the newest entry is durable. Raises: JournalDown."""
        if self._last is not None:
            await self._last

    def _prompt_tokens(self, state: RunState) -> int:
        """An estimate that counts each message once over the whole run."""
        self._tokens += _tokens_of(state.messages[self._counted :])
        self._counted = len(state.messages)
        return self._tokens

    def _cost_at_most(self, prompt_tokens: int) -> Cost:
        """What the request may cost: less answer where little budget is left."""
        left = self.dispatcher.budgets.remaining(self.caller.account)
        answer = OUTPUT_TOKENS_MAX
        if left.tokens_max is not None:
            answer = max(OUTPUT_TOKENS_MIN, min(answer, left.tokens_max - prompt_tokens))
        price = self.desk.price_of(self.model)
        if left.micro_usd_max is not None and price is None:
            raise Invalid(
                f"the run has a money budget and the price of {self.model} is not known",
                remedy="set input_usd_per_mtok and output_usd_per_mtok under providers.NAME, or budget tokens",
            )
        return Cost(tokens=prompt_tokens + answer, micro_usd=_money(price, prompt_tokens, 0, answer))

    def _used(self, usage: Usage, reserved: Cost) -> Cost:
        if not usage.reported:
            return reserved
        price = self.desk.price_of(self.model)
        fresh = usage.input_tokens - usage.cached_tokens
        money = _money(price, fresh, usage.cached_tokens, usage.output_tokens)
        return Cost(tokens=usage.input_tokens + usage.output_tokens, micro_usd=money)

    def _permit_request(self, state: RunState, cost: Cost) -> Request:
        args = ModelArgs(model=self.model, tokens=cost.tokens)
        return Request(
            principal=self.caller.principal,
            owner=self.caller.owner,
            role=self.caller.role,
            run=state.run,
            call=call_id(state.run, 0),
            syscall=model,
            args=args,
            arguments=digest_of(args),
            mounts=(),
            account=self.caller.account,
            cost=cost,
        )

    def _model_request(
        self, conversation: Sequence[Message], purpose: Purpose, cost: Cost, prompt_tokens: int
    ) -> ModelRequest:
        _, name = self.desk.provider_of(self.model)
        return ModelRequest(
            model=name,
            messages=conversation,
            tools=() if purpose == "summary" else self.tools,
            output_tokens_max=cost.tokens - prompt_tokens,
            tools_wire={} if purpose == "summary" else self._tools_wire,
        )


def _tokens_of(messages: Sequence[Message]) -> int:
    chars = sum(len(message.text) + sum(len(call.arguments) for call in message.calls) for message in messages)
    return chars // CHARS_PER_TOKEN + len(messages)


def _money(price: Price | None, fresh: int, cached: int, answer: int) -> int:
    """Micro-dollars, rounded up."""
    if price is None:
        return 0
    millionths = fresh * price.input_micro_usd + cached * price.cached_micro_usd + answer * price.output_micro_usd
    return -(-millionths // _MICRO)


def _reply_payload(state: RunState, reply: Reply, purpose: Purpose, used: Cost, took_ms: int) -> JsonObject:
    first = state.calls_made + 1
    calls: list[JsonValue] = [
        {"call": call_id(state.run, first + index), "id": call.id, "name": call.name, "arguments": call.arguments}
        for index, call in enumerate(reply.calls)
    ]
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
    if calls:
        payload["calls"] = calls
    if used.micro_usd:
        payload["micro_usd"] = used.micro_usd
    if reply.reasoning:
        payload["reasoning"] = cut_bytes(reply.reasoning, REASONING_BYTES_MAX)
    if purpose != "turn":
        payload["purpose"] = purpose
    return payload
