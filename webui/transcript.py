"""A conversation or a run as the elements of a page: a fold over journal entries.

Guarantees: the elements are a function of the entries alone, so a page drawn from the record and one
that was watched live are the same. `apply` names the elements that an entry changed; each carries the
number of the newest entry in it, so that who saw the page at entry N needs those above N and no others.
Entries of unknown kinds change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

from kernel.journal.entry import Entry
from kernel.runtime.state import denial_text
from webui.items import (
    ApprovalItem,
    CallItem,
    ChangeItem,
    DraftItem,
    Item,
    MessageItem,
    PhaseItem,
    RunItem,
    StepItem,
    VerdictItem,
)
from webui.toolview import kind_of, target_of


class Transcript:
    """The elements so far. Give it entries in the journal's order."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.seq = 0
        self.turn = 0
        self._steps: dict[str, StepItem] = {}
        """The newest of each run."""
        self._phase: dict[str, PhaseItem] = {}

    def apply(self, entry: Entry) -> list[Item]:
        """The elements that the entry made or changed."""
        self.seq = entry.seq
        handler = _HANDLERS.get(entry.kind)
        if handler is None or entry.payload is None:
            return []
        changed = handler(self, entry, cast("dict[str, Any]", entry.payload))
        for item in changed:
            item.seq = entry.seq
        return changed

    def forget(self, turn: int) -> None:
        """Drop the elements of turns up to `turn`."""
        self.items = {name: item for name, item in self.items.items() if item.turn > turn}

    def since(self, seq: int) -> list[Item]:
        """What is newer than entry `seq`, in the order of the page."""
        return sorted((item for item in self.items.values() if item.seq > seq), key=lambda item: item.first)

    def put(self, item: Item) -> Item:
        return self.items.setdefault(item.id, item)

    def base(self, entry: Entry, name: str) -> tuple[str, int, int, int, int]:
        """What every item begins with."""
        return name, entry.seq, entry.seq, entry.time_us, self.turn

    def step(self, run: str) -> StepItem | None:
        return self._steps.get(run)

    def add_step(self, step: StepItem) -> None:
        self._steps[step.run] = step
        self.put(step)

    def phase(self, stream: str) -> PhaseItem | None:
        return self._phase.get(stream)

    def add_phase(self, stream: str, phase: PhaseItem) -> None:
        self._phase[stream] = phase
        self.put(phase)

    def call(self, call: str) -> CallItem | None:
        found = self.items.get(element_of(call))
        return found if isinstance(found, CallItem) else None


def element_of(call: str) -> str:
    """The element's id of a call; ids of calls have dots, which selectors read as classes."""
    return "call-" + call.replace(".", "-")


Payload: TypeAlias = dict[str, Any]


def _message(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    said = payload["as"]
    if said == "goal":
        page.turn = int(payload["turn"])
    item = MessageItem(
        *page.base(entry, f"message-{entry.seq}"),
        said=said,
        text=payload["text"],
        status=payload.get("status", ""),
        note=payload.get("note", ""),
        run=payload.get("run", ""),
        attachments=payload.get("attached", []),
    )
    asked = page.phase(entry.stream) if said == "answer" else None
    if asked is None:
        return [page.put(item)]
    asked.answered = True
    return [asked, page.put(item)]


def _changed(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    changes = {name: str(payload[name]) for name in ("persona", "model", "approve") if name in payload}
    return [page.put(ChangeItem(*page.base(entry, f"change-{entry.seq}"), changes=changes))]


def _rewound(page: Transcript, _entry: Entry, payload: Payload) -> list[Item]:
    """Turns left the conversation: what they drew is gone. Who has it drawn must draw anew."""
    page.turn = int(payload["turn"])
    page.items = {name: item for name, item in page.items.items() if item.turn <= page.turn}
    return []


def _phase_started(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    phase = PhaseItem(*page.base(entry, f"phase-{entry.seq}"), phase=payload["phase"])
    page.add_phase(entry.stream, phase)
    changed: list[Item] = [phase]
    draft = page.items.get(f"draft-{page.turn}")
    if phase.phase == "confirm" and isinstance(draft, DraftItem):
        changed.append(draft)
    return changed


def _phase_finished(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    phase = page.phase(entry.stream)
    if phase is None:
        return []
    phase.state = "done" if payload["ok"] else "failed"
    phase.ms, phase.result, phase.message = payload.get("ms"), payload.get("result", {}), payload.get("message", "")
    changed: list[Item] = [phase]
    if phase.phase == "crystallize" and phase.state == "done":
        changed.append(page.put(DraftItem(*page.base(entry, f"draft-{page.turn}"), draft=phase.result["draft"])))
    draft = page.items.get(f"draft-{page.turn}")
    if phase.phase == "confirm" and phase.state == "done" and isinstance(draft, DraftItem):
        draft.state = _accepted(phase.result)
        draft.draft = phase.result.get("seed", draft.draft)
        changed.append(draft)
    return changed


def _accepted(result: Payload) -> Literal["accepted", "changed", "declined"]:
    if not result["accepted"]:
        return "declined"
    return "changed" if result.get("changed") else "accepted"


def _run_started(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    env = payload["env"]
    item = RunItem(
        *page.base(entry, f"run-{entry.stream}"),
        run=entry.stream,
        model=payload.get("model", ""),
        persona=env.get("persona", ""),
        grant=payload.get("grant", ""),
        places=env.get("mounts", []),
    )
    return [page.put(item)]


def _run_moved(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    item = page.items.get(f"run-{entry.stream}")
    if not isinstance(item, RunItem):
        return []
    match entry.kind:
        case "run.resumed":
            item.status, item.resumes = "running", item.resumes + 1
        case "run.paused":
            item.status = "paused"
        case _:
            item.status = payload["status"]
    item.note = payload.get("note", "")
    return [item]


def _steered(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    if not payload.get("hint"):
        return []  # A person's words stand in the session; in a run without one the inspector shows the entry.
    said = MessageItem(*page.base(entry, f"message-{entry.seq}"), said="hint", text=payload["text"], run=entry.stream)
    return [page.put(said)]


def _requested(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    if payload.get("purpose", "turn") != "turn":
        return []
    last = page.step(entry.stream)
    if last is not None and not last.replied:
        last.round = payload.get("round", 0)
        return [last]
    number = last.number + 1 if last else 1
    step = StepItem(
        *page.base(entry, f"step-{entry.stream}-{number}"),
        run=entry.stream,
        number=number,
        round=payload.get("round", 0),
        model=payload["model"],
    )
    page.add_step(step)
    return [step]


def _replied(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    step = page.step(entry.stream)
    if step is None or payload.get("purpose", "turn") != "turn":
        return []
    step.model, step.text, step.replied = payload.get("model", step.model), payload.get("text", ""), True
    step.reasoning = payload.get("reasoning", "")
    step.usage, step.ms, step.micro_usd = payload.get("usage", {}), payload.get("ms"), payload.get("micro_usd", 0)
    calls = cast("list[dict[str, str]]", payload.get("calls", []))
    step.final = not calls
    changed: list[Item] = [step]
    for call in calls:
        item = CallItem(
            *page.base(entry, element_of(call["call"])),
            call=call["call"],
            run=entry.stream,
            step=step.number,
            tool=call["name"],
            kind=kind_of(call["name"]),
            target=target_of(call["arguments"]),
            why=step.text,
        )
        changed.append(page.put(item))
    return changed


def _model_failed(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    step = page.step(entry.stream)
    if step is None or step.replied:
        return []
    step.failures.append(f"{payload.get('model', '')}: {payload.get('message', '')}")
    return [step]


def _stood_in(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    """Another model answers, or the request waits: told with the reply that is awaited."""
    step = page.step(entry.stream)
    if step is None or step.replied:
        return []
    if entry.kind == "model.waiting":
        step.failures.append(f"waits {payload['seconds']:g} s: {payload['why']}")
    else:
        step.failures.append(f"{payload.get('to', '')} stands in for {payload.get('from', '')}")
    return [step]


def _compacted(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    said = MessageItem(
        *page.base(entry, f"message-{entry.seq}"),
        said="hint",
        text=f"Older messages were summed up to stay within the model's window:\n{payload.get('summary', '')}",
        run=entry.stream,
    )
    return [page.put(said)]


def _intended(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    item = page.call(payload["call"])
    if item is None:
        return []
    item.state, item.effect, item.caps = "running", payload["effect"], payload.get("caps", [])
    item.args, item.mark = payload.get("args", {}), payload.get("mark") or {}
    item.target, item.intent_seq = target_of(item.args) or item.target, entry.seq
    return [item]


def _ended(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    item = page.call(payload["call"])
    if item is None:
        return []
    item.state = "done" if payload["ok"] else "failed"
    item.text, item.ms, item.data = payload["text"], payload.get("ms"), payload.get("data") or {}
    item.outcome_seq = entry.seq
    return [item]


def _denied(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    item = page.call(payload["call"])
    if item is None:
        return []
    item.state, item.layer, item.text = "denied", payload["layer"], denial_text(payload)
    item.outcome_seq = entry.seq
    return [item]


def _invalid(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    item = page.call(payload["call"])
    if item is None:
        return []
    item.state, item.text, item.outcome_seq = "invalid", payload["error"], entry.seq
    return [item]


def _doubted(page: Transcript, _entry: Entry, payload: Payload) -> list[Item]:
    item = page.call(payload["call"])
    if item is None:
        return []
    item.state = "in doubt"
    return [item]


def _undone(page: Transcript, _entry: Entry, payload: Payload) -> list[Item]:
    item = page.call(payload["call"])
    if item is None:
        return []
    item.undone = True
    return [item]


def _asked(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    item = ApprovalItem(
        *page.base(entry, f"approval-{payload['approval']}"),
        approval=payload["approval"],
        run=entry.stream,
        call=payload.get("call", ""),
        question=payload["question"],
        expires_us=payload.get("expires_us", 0),
    )
    return [page.put(item)]


def _answered(page: Transcript, _entry: Entry, payload: Payload) -> list[Item]:
    item = page.items.get(f"approval-{payload['approval']}")
    if not isinstance(item, ApprovalItem):
        return []
    item.status, item.choice = payload.get("status", "answered"), payload.get("choice", "")
    item.by, item.reason = str(payload.get("by", "")), payload.get("reason", "")
    return [item]


def _reviewed(page: Transcript, entry: Entry, payload: Payload) -> list[Item]:
    item = page.put(VerdictItem(*page.base(entry, f"verdict-{entry.stream}"), run=entry.stream))
    if isinstance(item, VerdictItem):
        item.passed, item.score = payload.get("passed"), payload.get("score")
        item.findings = list(payload.get("findings", []))
    return [item]


def of_streams(entries: Mapping[int, Entry]) -> Transcript:
    """The page of entries of several streams, put in the journal's order."""
    page = Transcript()
    for seq in sorted(entries):
        page.apply(entries[seq])
    return page


_HANDLERS: Final = {
    "session.message": _message,
    "session.rewound": _rewound,
    "session.changed": _changed,
    "phase.started": _phase_started,
    "phase.finished": _phase_finished,
    "run.started": _run_started,
    "run.resumed": _run_moved,
    "run.paused": _run_moved,
    "run.finished": _run_moved,
    "run.steered": _steered,
    "model.request": _requested,
    "model.reply": _replied,
    "model.failed": _model_failed,
    "model.waiting": _stood_in,
    "model.fallback": _stood_in,
    "context.compacted": _compacted,
    "call.intent": _intended,
    "call.outcome": _ended,
    "call.denied": _denied,
    "call.invalid": _invalid,
    "call.in_doubt": _doubted,
    "call.undone": _undone,
    "approval.asked": _asked,
    "approval.answered": _answered,
    "review.verdict": _reviewed,
}
