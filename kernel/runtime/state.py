"""A run's state, as a fold over its journal entries.

Guarantees: the state is a function of the entries alone. The live loop applies each entry it
appends through the same `apply` that a restart, a replay and an export use, so they cannot differ.
Tool results enter the conversation in the order the model made the calls, whatever order they ended
in; a message queued while calls run enters after their results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, cast

from kernel.directive import Directive, ExecEnv
from kernel.gate.request import Cost
from kernel.ids import KERNEL, CallId, Principal, RunId
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.ports.provider import KERNEL_NOTE, Message, ToolCall, Usage
from kernel.runtime.context import compacted
from kernel.runtime.novelty import Novelty
from kernel.runtime.record import directive_of, env_of
from kernel.runtime.spending import Spending

RunStatus: TypeAlias = Literal["running", "paused", "finished", "failed", "cancelled"]
CallStatus: TypeAlias = Literal["waiting", "intended", "in_doubt", "done"]

_OURS: Final = frozenset({"kernel", "budget"})
"""Who says a `run.steered` that no person said."""
TERMINAL: Final = frozenset({"finished", "failed", "cancelled"})


@dataclass(slots=True)
class CallState:
    """One tool call of the newest reply. `mark` is what a write journalled before it acted."""

    id: CallId
    model_id: str
    tool: str
    arguments: str
    status: CallStatus = "waiting"
    effect: str = ""
    mark: JsonObject | None = None
    ok: bool = False
    text: str = ""
    blob: str = ""
    """The whole output's digest, where `text` is only its beginning and end."""


@dataclass(frozen=True, slots=True)
class Step:
    """One finished tool call, for stuck detection and summaries."""

    tool: str
    arguments: str
    ok: bool
    text: str
    call: str = field(default="", compare=False)
    """Its id; two steps are the same step whatever their ids."""
    blob: str = ""
    """The whole output's digest, where `text` is only its beginning and end."""


@dataclass(slots=True)
class RunState:
    """Where a run stands. Only `apply` changes it."""

    run: RunId
    owner: Principal = KERNEL
    directive: Directive = field(default_factory=lambda: Directive(goal=""))
    env: ExecEnv = field(default_factory=lambda: ExecEnv(mounts=()))
    grant: str = ""
    seed: str = ""
    approve: str = ""
    account: str = ""
    """A budget that pays for this run as well, while it is open; a fork has none."""
    parent: str = ""
    status: RunStatus = "running"
    output: str = ""
    note: str = ""
    asked_model: str = ""
    """The model that the run asks, as `provider/name`."""
    model: str = ""
    """The model that answered last."""
    turns: int = 0
    calls_made: int = 0
    calls_spent: int = 0
    """Those that were carried out: what the budget counts."""
    usage: Usage = field(default_factory=Usage)
    """As providers reported it; a fork's from the fork on, like all that it spends."""
    spending: Spending = field(default_factory=Spending)
    started_us: int = 0
    updated_us: int = 0
    active_us: int = 0
    """Time this run was live before its newest start, without waiting for a person; for its deadline."""
    asked: set[str] = field(default_factory=set[str])
    """Questions to a person that are open."""
    asked_us: int = 0
    """Since when there is one."""
    waited_us: int = 0
    """Of this life, for a person."""
    seq: int = 0
    verdict: JsonObject | None = None
    messages: list[Message] = field(default_factory=list[Message])
    pending: list[CallState] = field(default_factory=list[CallState])
    steps: list[Step] = field(default_factory=list[Step])
    queued: list[str] = field(default_factory=list[str])
    tools: tuple[str, ...] = ()
    resumes: int = 0
    summarized: bool = False
    """The model was asked to sum up its steps since its newest reply, and answered, be it with nothing."""
    compactions: int = 0
    """How often older messages were taken out to stay within the model's window."""
    news: Novelty = field(default_factory=Novelty)
    """What the newest steps brought that was not known, for stuck detection."""
    replies_only: int = 0
    """Replies in a row without a call, since anybody said something."""
    cut_off: bool = False
    """The newest reply, without a call, ended at its length limit: it is no end of an answer."""
    withheld: bool = False
    """The newest reply, without a call, was ended by the provider's content filter: it is no whole answer."""
    hints: int = 0
    """How often the kernel said that the agent repeats itself."""
    hinted_at: int = 0
    """The number of steps when it last did."""
    live_since_us: int = 0
    last_us: int = 0
    """Time of the entry before the newest one."""

    def apply_entry(self, entry: Entry) -> None:
        if entry.payload is not None:
            self.apply(entry.kind, entry.payload, entry.time_us)
        self.seq = entry.seq

    def apply(self, kind: str, payload: JsonObject, time_us: int) -> None:
        """Fold one entry in. Kinds that say nothing about a run's state change nothing."""
        self.last_us, self.updated_us = self.updated_us, time_us
        self.spending.apply(kind, payload)
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, payload)

    @property
    def spent(self) -> Cost:
        """What the budget counts, with what is reserved for a request under way."""
        return self.spending.total.plus(Cost(calls=self.calls_spent))

    @property
    def cost_micro_usd(self) -> int:
        return self.spending.total.micro_usd

    def flush_queued(self) -> None:
        """Let queued messages into the conversation; before each model request."""
        self.messages.extend(Message("user", text) for text in self.queued)
        self.queued.clear()

    def call(self, call: CallId) -> CallState | None:
        return next((item for item in self.pending if item.id == call), None)


def fold(run: RunId, entries: Iterable[Entry]) -> RunState:
    """The state after `entries`, oldest first."""
    state = RunState(run)
    for entry in entries:
        state.apply_entry(entry)
    return state


def _started(state: RunState, payload: JsonObject) -> None:
    state.directive = directive_of(payload["directive"])
    state.env = env_of(payload["env"])
    state.owner = Principal(str(payload["owner"]))
    state.grant = str(payload["grant"])
    state.seed = str(payload.get("seed", ""))
    state.approve = str(payload.get("approve", ""))
    state.account = str(payload.get("account", ""))
    state.parent = str(payload.get("parent", ""))
    state.model = state.asked_model = str(payload.get("model", ""))
    state.tools = tuple(str(name) for name in cast("list[str]", payload.get("tools", [])))
    state.started_us = state.live_since_us = state.updated_us
    state.status, state.output, state.note, state.active_us = "running", "", "", 0
    state.verdict = None
    state.usage, state.spending, state.calls_spent = Usage(), Spending(), 0
    state.asked, state.waited_us = set(), 0
    if not state.messages:
        state.messages = [Message("system", str(payload["system"])), Message("user", str(payload["user"]))]


def _resumed(state: RunState, payload: JsonObject) -> None:
    if state.status == "running":  # It was killed: what it lived until its last entry counts.
        if state.asked:
            state.waited_us += state.last_us - state.asked_us
        state.active_us += state.last_us - state.live_since_us - state.waited_us
    state.status, state.note = "running", ""
    state.asked, state.waited_us = set(), 0
    state.resumes += 1
    state.live_since_us = state.updated_us
    raised = cast("dict[str, int]", payload.get("budget", {}))
    if raised:
        state.env = replace(state.env, budget=replace(state.env.budget, **raised))


def _steered(state: RunState, payload: JsonObject) -> None:
    text = str(payload["text"])
    if payload.get("by") not in _OURS:
        state.replies_only = 0
        if text.startswith(KERNEL_NOTE.strip()):
            text = f"> {text}"  # A person's words are never taken for the kernel's, nor dropped as those are.
    state.queued.append(text)
    if payload.get("hint"):
        state.hints += 1
        state.hinted_at = len(state.steps)
        state.news.told()


def _requested(state: RunState, payload: JsonObject) -> None:
    if payload.get("purpose", "turn") == "turn":
        state.flush_queued()


def _replied(state: RunState, payload: JsonObject) -> None:
    usage = cast("dict[str, int]", payload.get("usage", {}))
    state.usage = Usage(
        state.usage.input_tokens + usage.get("in", 0),
        state.usage.output_tokens + usage.get("out", 0),
        state.usage.cached_tokens + usage.get("cached", 0),
    )
    state.model = str(payload.get("model", state.model))
    text = str(payload.get("text", ""))
    purpose = payload.get("purpose")
    if purpose == "compaction":
        return
    state.summarized = purpose == "summary"
    if state.summarized:
        state.output = text
        return
    state.turns += 1
    state.news.replied()
    calls = [
        CallState(CallId(item["call"]), item["id"], item["name"], item["arguments"])
        for item in cast("list[dict[str, str]]", payload.get("calls", []))
    ]
    state.pending = calls
    state.calls_made += len(calls)
    state.messages.append(
        Message("assistant", text, tuple(ToolCall(item.model_id, item.tool, item.arguments) for item in calls))
    )
    state.replies_only = 0 if calls else state.replies_only + 1
    if not calls:
        # A reply that was cut off goes on in the next one.
        state.output = state.output + text if state.cut_off else text
    state.cut_off = not calls and payload.get("finish") == "length"
    state.withheld = not calls and payload.get("finish") == "content_filter"


def _intended(state: RunState, payload: JsonObject) -> None:
    call = state.call(CallId(str(payload["call"])))
    if call is not None:
        call.status = "intended"
        call.effect = str(payload["effect"])
        call.mark = cast("JsonObject | None", payload.get("mark"))


def _doubted(state: RunState, payload: JsonObject) -> None:
    call = state.call(CallId(str(payload["call"])))
    if call is not None:
        call.status = "in_doubt"


def _answered(state: RunState, payload: JsonObject, *, ok: bool, text: str) -> None:
    call = state.call(CallId(str(payload["call"])))
    if call is None or call.status == "done":
        return
    call.status, call.ok, call.text, call.blob = "done", ok, text, str(payload.get("blob", ""))
    if all(item.status == "done" for item in state.pending):
        for item in state.pending:
            state.messages.append(Message("tool", item.text, call_id=item.model_id, is_error=not item.ok))
            state.steps.append(Step(item.tool, item.arguments, item.ok, item.text, item.id, item.blob))
            told = (item.tool, item.arguments, item.blob or item.text)
            state.news.step(told, ok=item.ok, chars=len(item.arguments) + len(item.text))
        state.pending = []


def _outcome(state: RunState, payload: JsonObject) -> None:
    state.calls_spent += state.call(CallId(str(payload["call"]))) is not None
    _answered(state, payload, ok=bool(payload["ok"]), text=str(payload["text"]))


def _denied(state: RunState, payload: JsonObject) -> None:
    _answered(state, payload, ok=False, text=denial_text(payload))


def _invalid(state: RunState, payload: JsonObject) -> None:
    _answered(state, payload, ok=False, text=str(payload["error"]))


def _compacted(state: RunState, payload: JsonObject) -> None:
    state.messages = compacted(state.messages, cast("int", payload["end"]), str(payload["summary"]))
    state.compactions += 1
    state.news.compacted()


def _paused(state: RunState, payload: JsonObject) -> None:
    state.status, state.note = "paused", str(payload["note"])
    lived_us = state.active_us + state.updated_us - state.live_since_us - state.waited_us
    state.active_us = cast("int", payload.get("active_us", lived_us))


def _asked(state: RunState, payload: JsonObject) -> None:
    if not state.asked:
        state.asked_us = state.updated_us
    state.asked.add(str(payload.get("approval", "")))


def _told(state: RunState, payload: JsonObject) -> None:
    if str(payload.get("approval", "")) in state.asked:
        state.asked.remove(str(payload.get("approval", "")))
        if not state.asked:
            state.waited_us += state.updated_us - state.asked_us


def _finished(state: RunState, payload: JsonObject) -> None:
    state.status = cast("RunStatus", payload["status"])
    state.note = str(payload.get("note", ""))
    if "output" in payload:
        state.output = str(payload["output"])


def _reviewed(state: RunState, payload: JsonObject) -> None:
    state.verdict = payload


def denial_text(payload: JsonObject) -> str:
    """A refusal as the model reads it."""
    return f"denied by {payload['layer']}: {payload['reason']}. {payload['remedy']}"


_HANDLERS: Final = {
    "run.started": _started,
    "run.resumed": _resumed,
    "run.steered": _steered,
    "run.paused": _paused,
    "run.finished": _finished,
    "model.request": _requested,
    "model.reply": _replied,
    "context.compacted": _compacted,
    "call.intent": _intended,
    "call.in_doubt": _doubted,
    "call.outcome": _outcome,
    "call.denied": _denied,
    "call.invalid": _invalid,
    "approval.asked": _asked,
    "approval.answered": _told,
    "review.verdict": _reviewed,
}
