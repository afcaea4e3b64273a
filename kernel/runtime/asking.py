"""The model requests of one run: what is asked, and what its stream says of it.

Guarantees: the request's entry is appended before anything is sent, its reply or failure after; the
budget is reserved for prompt and answer before, and settled after (`kernel.runtime.sending`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from kernel.errors import OxiosError
from kernel.ids import call_id
from kernel.journal.entry import Draft, Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.ports.provider import KERNEL_NOTE, Attachment, ContextOverflow, Message, Reply, ToolSpec
from kernel.runtime.attached import opening, tokens_of_attached
from kernel.runtime.bound import PromptBound
from kernel.runtime.context import PREFIX, TRIGGER, extract, plan_cut, summary_request
from kernel.runtime.dispatch import Caller, Dispatcher
from kernel.runtime.loop import Purpose
from kernel.runtime.model import ModelDesk
from kernel.runtime.receipts import Receipts
from kernel.runtime.sending import OUTPUT_TOKENS_MAX, Outgoing, Sending
from kernel.runtime.state import RunState
from kernel.runtime.summary import summary_messages
from kernel.runtime.text import CHARS_PER_TOKEN, tokens_of

ENDS: Final = frozenset({"run.paused", "run.finished"})
RATIO_MIN: Final = 0.5
RATIO_MAX: Final = 3.0


@dataclass(slots=True)
class Asking:
    """Model requests of one run. Not shared between runs."""

    dispatcher: Dispatcher
    desk: ModelDesk
    caller: Caller
    model: str
    tools: Sequence[ToolSpec]
    attached: Sequence[Attachment] = ()
    """Files that stand in the goal's message, in every request of a turn."""
    _last: Awaitable[Entry] | None = None
    _ratio: float = 1.0
    """Reported tokens for each one estimated, at the newest reply."""
    _counted: int = 0
    _tokens: int = 0
    _bound: PromptBound = field(init=False)
    _attached_tokens: int = field(init=False)
    _opening: Message | None = None
    """The goal's message with its files: made, and encoded, once."""

    def __post_init__(self) -> None:
        self._bound = PromptBound(self.tools)
        self._attached_tokens = tokens_of_attached(self.attached)

    async def ask(self, state: RunState, purpose: Purpose) -> Reply:
        """Ask, within the model's window: where it would not fit, or did not, older messages are taken out first.

        Raises: OxiosError, where there was no reply; model.failed is recorded then.
        """
        if purpose != "turn":
            return await self._ask(state, purpose)
        await self._fit(state)
        try:
            return await self._ask(state, purpose)
        except ContextOverflow:
            if not await self._fit(state, force=True):
                raise
            return await self._ask(state, purpose)

    async def _fit(self, state: RunState, *, force: bool = False) -> bool:
        """Take older messages out of the conversation where they do not fit; whether it did."""
        window = self.desk.window_of(self.model)
        room = max(window - OUTPUT_TOKENS_MAX, window // 2)
        # Counted message by message over the run: looking at all of them each round would grow with its square.
        if not force and self._prompt_tokens(state) * self._ratio <= room * TRIGGER:
            return False
        cut = plan_cut(state.messages, round(room / self._ratio) - self._attached_tokens, force=force)
        if cut is None:
            return False
        summary = await self._sum_up(state, cut.end, room)
        self.record(state, "context.compacted", {"end": cut.end, "summary": summary, "by": "context"})
        self._counted = self._tokens = 0
        self._bound.forget()
        return True

    async def _sum_up(self, state: RunState, end: int, room: int) -> str:
        """By the model where it can, else (or where it fails) a list of what was called."""
        if not self.desk.can_sum_up(self.model):
            return extract(state.messages, end)
        asked = summary_request(state.messages, end, room * CHARS_PER_TOKEN // 2)
        receipts = self._receipts(state, {"purpose": "compaction", "by": "context"})
        receipts.requested()
        try:
            reply, _ = await self._sending.ask(replace(self._apart(state, asked), aside=True), receipts)
        except OxiosError:
            return extract(state.messages, end)
        return reply.text.strip() or extract(state.messages, end)

    async def _ask(self, state: RunState, purpose: Purpose) -> Reply:
        """Record and send one request, record its reply; both are applied to `state`."""
        receipts = self._receipts(state, {"purpose": purpose} if purpose != "turn" else {})
        receipts.requested()
        if purpose == "summary":
            reply, _ = await self._sending.ask(self._apart(state, summary_messages(state)), receipts)
        else:
            receipts.calls_of = partial(_calls, state)
            reply = await self._turn(state, receipts)
        if reply.calls:  # After a final answer there is nothing left to finish.
            self._warn(state)
        return reply

    def _warn(self, state: RunState) -> None:
        """Tell the agent, once for each cap, that little of its budget is left."""
        for warned in self.dispatcher.budgets.take_warnings(self.caller.account):
            used = f"{warned.used} of {warned.cap} {warned.units} of your budget are used"
            text = f"{KERNEL_NOTE}{used}. Finish with what there is."
            self.record(state, "run.steered", {"text": text, "by": "budget"})

    async def _turn(self, state: RunState, receipts: Receipts) -> Reply:
        prompt_tokens = self._prompt_tokens(state)
        outgoing = Outgoing(
            state.run,
            call_id(state.run, 0),
            self.model,
            self._messages(state),
            prompt_tokens,
            self.tools,
            persona=state.env.persona,
            attached=self.attached,
            bound=self._bound,
            round=state.turns + 1,
        )
        reply, _ = await self._sending.ask(outgoing, receipts)
        if reply.usage.reported and reply.usage.input_tokens > 0:
            # What the provider counts, against our estimate; bounded, since a provider may lie.
            self._ratio = min(RATIO_MAX, max(RATIO_MIN, reply.usage.input_tokens / prompt_tokens))
        return reply

    @property
    def _sending(self) -> Sending:
        return Sending(self.dispatcher, self.desk, self.caller)

    def _apart(self, state: RunState, asked: Sequence[Message]) -> Outgoing:
        """A request with a conversation of its own, by the model for summaries."""
        persona = state.env.persona
        return Outgoing(
            state.run,
            call_id(state.run, 0),
            self.model,
            asked,
            tokens_of(asked),
            phase="summary",
            persona=persona,
            round=state.turns + 1,
        )

    def _receipts(self, state: RunState, said: JsonObject) -> Receipts:
        return Receipts(partial(self.record, state), {"round": state.turns + 1, "model": self.model}, said)

    def record(self, state: RunState, kind: str, payload: JsonObject) -> Awaitable[Entry]:
        """Append, then apply; what is returned is there when the entry is durable."""
        if kind in ENDS:
            payload = {**payload, "turns": state.turns, **self._active()}
        self._last = self.dispatcher.journal.append(Draft(self.caller.principal, state.run, kind, payload))
        state.apply(kind, payload, self.dispatcher.clock.now_us())
        return self._last

    def _active(self) -> JsonObject:
        budgets, account = self.dispatcher.budgets, self.caller.account
        return {"active_us": budgets.active_us(account)} if budgets.is_open(account) else {}

    async def settle(self) -> None:
        """Wait until the newest entry is durable. Raises: JournalDown."""
        if self._last is not None:
            await self._last

    def _prompt_tokens(self, state: RunState) -> int:
        """An estimate that counts each message once over the whole run."""
        self._tokens += tokens_of(state.messages[self._counted :])
        self._counted = len(state.messages)
        return self._tokens + self._attached_tokens

    def _messages(self, state: RunState) -> Sequence[Message]:
        """The conversation as it is sent: the record names files, a model is shown them."""
        if not self.attached:
            return state.messages
        goal = state.messages[PREFIX - 1]
        if self._opening is None:
            self._opening = opening(goal, self.attached)
        return [*state.messages[: PREFIX - 1], self._opening, *state.messages[PREFIX:]]


def _calls(state: RunState, reply: Reply) -> JsonObject:
    first = state.calls_made + 1
    calls: list[JsonValue] = [
        {"call": call_id(state.run, first + index), "id": call.id, "name": call.name, "arguments": call.arguments}
        for index, call in enumerate(reply.calls)
    ]
    return {"calls": calls} if calls else {}
