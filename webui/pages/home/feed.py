"""An entry in a sentence, for those that a person wants to hear of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from kernel.journal.entry import Entry

_CHARS_MAX: Final = 160
Payload = Mapping[str, Any]


def told(entry: Entry) -> str:
    """Empty where it is nothing to tell, or its payload was erased."""
    say = _SENTENCES.get(entry.kind)
    if say is None or entry.payload is None:
        return ""
    text = " ".join(say(cast("Payload", entry.payload)).split())
    return text if len(text) <= _CHARS_MAX else f"{text[: _CHARS_MAX - 1]}…"


def _goal(payload: Payload) -> str:
    return f"run started: {payload['directive']['goal']}"


def _ended(payload: Payload) -> str:
    note = f": {payload['note']}" if payload.get("note") else ""
    return f"run {payload['status']}{note}"


def _outcome(payload: Payload) -> str:
    tool = str(payload["tool"])
    quiet = tool in _QUIET or tool.endswith(_LOOKS)
    return "" if quiet else f"{tool} {'done' if payload['ok'] else 'failed'}"


def _asked(payload: Payload) -> str:
    question = payload["question"]
    return f"approval wanted: {question['tool']} {question['target']}"


def _verdict(payload: Payload) -> str:
    words = {True: "passed", False: "failed", None: "undecided"}
    return f"review {words[payload.get('passed')]}"


_QUIET: Final = frozenset({"budget.open", "ask_model", "runs.start", "approvals.standing"})
_LOOKS: Final = (".list", ".show")
"""How syscalls end that only look something up."""
_SENTENCES: Final[Mapping[str, Callable[[Payload], str]]] = {
    "run.started": _goal,
    "run.resumed": lambda payload: f"run resumed by {payload.get('by', '')}",
    "run.paused": lambda payload: f"run paused: {payload.get('note', '')}",
    "run.finished": _ended,
    "call.outcome": _outcome,
    "call.denied": lambda payload: f"{payload['tool']} denied by {payload['layer']}: {payload['reason']}",
    "call.undone": lambda payload: f"undone: {payload['call']}",
    "call.in_doubt": lambda payload: f"in doubt: {payload['call']}",
    "approval.asked": _asked,
    "approval.answered": lambda payload: f"approval {payload.get('choice', '')} by {payload.get('by', '')}",
    "review.verdict": _verdict,
    "seed.created": lambda payload: f"seed made: {payload['seed']['goal']}",
    "session.message": lambda payload: f"{payload.get('role', '')}: {payload['text']}",
    "capability.revoked": lambda payload: (
        f"{len(payload['capabilities'])} capabilities revoked: {payload.get('reason', '')}"
    ),
    "config.changed": lambda payload: f"settings changed: {', '.join(list(payload['changed'])[:4])}",
    "persona.switched": lambda payload: f"persona: {payload.get('persona', '') or 'none'}",
    "model.failed": lambda payload: f"model failed: {payload.get('model', '')} {payload.get('message', '')}",
    "kernel.booted": lambda payload: f"Oxios started, process {payload.get('pid', '')}",
}
