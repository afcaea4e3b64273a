"""A run as it happens, for a person: one line a step, from the run's own journal entries.

Guarantees: what is shown was committed (tool progress apart, which is live and dim); entries of any
kind, known or not, are taken without error; every text from outside is made harmless first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.runtime.live import LiveEvent, LiveProgress
from oxios.paint import Paint, Piece, Style, one_line

TARGET_CHARS_MAX: Final = 100
TEXT_CHARS_MAX: Final = 160
_TARGETS: Final = ("path", "command", "argv", "url", "query", "pattern", "question")
_OWN_STEPS: Final = frozenset({"call.intent", "call.outcome", "call.denied"})
_MARKS: Final[dict[str, Piece]] = {"passed": ("✓", "good"), "failed": ("✗", "bad"), "unjudged": ("?", "warn")}


class LiveView:
    """Paints one run. Give it every entry of the run's stream, in order.

    With `heard`, what the agent says beside its calls is shown by others, as it comes.
    """

    def __init__(self, paint: Paint, *, heard: bool = False) -> None:
        self._paint = paint
        self._heard = heard
        self._targets: dict[str, str] = {}
        self._unnamed: dict[str, JsonObject] = {}
        self._round = 0
        self._kinds: dict[str, Callable[[JsonObject], None]] = {
            "run.started": self._started,
            "run.resumed": self._resumed,
            "run.steered": self._steered,
            "run.paused": self._paused,
            "run.finished": self._finished,
            "model.reply": self._replied,
            "model.failed": self._model_failed,
            "model.fallback": self._fell_back,
            "model.waiting": self._waits,
            "call.intent": self._intended,
            "call.outcome": self._ended,
            "call.denied": self._denied,
            "call.invalid": self._invalid,
            "call.in_doubt": self._doubted,
            "approval.asked": self._asked,
            "approval.answered": self._answered,
            "review.verdict": self._reviewed,
        }

    def entry(self, entry: Entry) -> None:
        """Show a committed entry, if it is of a kind a person wants to see."""
        show = self._kinds.get(entry.kind)
        if entry.kind in _OWN_STEPS and not entry.principal.startswith("agent:"):
            # The review's own looks: the verdict names each with what was found. What prints is named before it does.
            if entry.kind == "call.intent" and entry.payload is not None:
                self._unnamed[str(entry.payload["call"])] = entry.payload
            return
        if show is not None and entry.payload is not None:
            show(entry.payload)

    def event(self, event: LiveEvent) -> None:
        """Show what a tool reports while it works."""
        if isinstance(event, LiveProgress):
            if (intent := self._unnamed.pop(event.call, None)) is not None:
                self._intended(intent)
            for line in event.text.splitlines()[-3:]:
                self._line(("      │ ", "dim"), (one_line(line, TEXT_CHARS_MAX), "dim"))

    def _line(self, *pieces: Piece) -> None:
        self._paint(pieces)

    def _started(self, payload: JsonObject) -> None:
        env = cast("Mapping[str, Any]", payload.get("env", {}))
        mounts = cast("list[Mapping[str, str]]", env.get("mounts", []))
        parts = [str(payload.get("model", "")), str(env.get("persona", "")), f"grant {payload.get('grant', '')}"]
        places = [f"{mount['path']}{' (read only)' if mount.get('mode') == 'ro' else ''}" for mount in mounts]
        said = " · ".join(one_line(part, TARGET_CHARS_MAX) for part in [*parts, *places] if part)
        self._line(("run started", "strong"), (f"  {said}", "dim"))

    def _resumed(self, payload: JsonObject) -> None:
        self._line(("run resumed", "strong"), (f"  by {_text(payload, 'by')}", "dim"))

    def _steered(self, payload: JsonObject) -> None:
        self._line(("  ! ", "warn"), (f"{_text(payload, 'by')}: ", "dim"), (_text(payload, "text"), ""))

    def _paused(self, _payload: JsonObject) -> None:
        self._line(("run paused", "warn"))  # Why is said whole by whoever waited for the run.

    def _finished(self, payload: JsonObject) -> None:
        status = _text(payload, "status")
        style: Style = "good" if status == "finished" else "bad"
        note = _text(payload, "note")
        self._line((f"run {status}", style), (f"  {note}" if note else "", ""))

    def _replied(self, payload: JsonObject) -> None:
        calls = cast("list[Mapping[str, str]]", payload.get("calls", []))
        for call in calls:
            self._targets[call["call"]] = _target_of_text(call["arguments"])
        self._round += 1
        made = f"{len(calls)} call{'s' * (len(calls) != 1)}" if calls else "answer"
        self._line(
            (f"  {self._round:>2} ", "strong"), (f"{_text(payload, 'model')}: {made}", ""), (_cost(payload), "dim")
        )
        text = _text(payload, "text")
        if calls and text and not self._heard:
            self._line(("     ", ""), (text, "dim"))

    def _model_failed(self, payload: JsonObject) -> None:
        self._line(("   ✗ ", "bad"), (f"{_text(payload, 'model')}: {_text(payload, 'message')}", ""))

    def _fell_back(self, payload: JsonObject) -> None:
        self._line(("   → ", "warn"), (f"{_text(payload, 'to')} is asked in place of {_text(payload, 'from')}", ""))

    def _waits(self, payload: JsonObject) -> None:
        seconds = payload.get("seconds", 0)
        self._line(
            ("   … ", "warn"), (f"waits {seconds:g} s, then asks again", ""), (f"  {_text(payload, 'why')}", "dim")
        )

    def _intended(self, payload: JsonObject) -> None:
        call = str(payload["call"])
        self._targets[call] = target_of(cast("Mapping[str, JsonValue]", payload.get("args", {})))
        if payload.get("effect") == "external":
            self._line(("     ▸ ", "dim"), (self._what(payload), "dim"))

    def _ended(self, payload: JsonObject) -> None:
        mark = _MARKS["passed" if payload.get("ok") else "failed"]
        self._line(("     ", ""), mark, (f" {self._what(payload)}", ""), (f"  {_duration(payload)}", "dim"))
        if not payload.get("ok"):
            self._line(("       ", ""), (_text(payload, "text"), "bad"))

    def _denied(self, payload: JsonObject) -> None:
        if payload.get("tool") == "model":
            return  # `model.failed` follows and says it.
        self._line(("     ✗ ", "bad"), (self._what(payload), ""))
        self._line(("       ", ""), (f"denied by {_text(payload, 'layer')}: {_text(payload, 'reason')}", "bad"))
        if payload.get("remedy"):
            self._line(("       ", ""), (f"try: {_text(payload, 'remedy')}", "dim"))

    def _invalid(self, payload: JsonObject) -> None:
        self._line(("     ✗ ", "bad"), (self._what(payload), ""), (f"  {_text(payload, 'error')}", "bad"))

    def _doubted(self, payload: JsonObject) -> None:
        self._line(("     ? ", "warn"), (f"in doubt: {self._what(payload)}", ""))

    def _asked(self, payload: JsonObject) -> None:
        question = cast("Mapping[str, Any]", payload.get("question", {}))
        said = f"{question.get('tool', '')} {question.get('target', '')}: {question.get('why', '')}"
        self._line(
            ("     ? ", "warn"), (f"approval {_text(payload, 'approval')}: {one_line(said, TEXT_CHARS_MAX)}", "")
        )

    def _answered(self, payload: JsonObject) -> None:
        style: Style = "bad" if payload.get("choice") == "deny" else "good"
        reason = f": {_text(payload, 'reason')}" if payload.get("reason") else ""
        self._line(("     → ", style), (f"{_text(payload, 'choice')}, by {_text(payload, 'by')}{reason}", ""))

    def _reviewed(self, payload: JsonObject) -> None:
        findings = cast("list[Mapping[str, Any]]", payload.get("findings", []))
        passed = sum(finding["status"] == "passed" for finding in findings)
        decided = sum(finding["status"] != "unjudged" for finding in findings)
        word, style = _VERDICTS[cast("bool | None", payload.get("passed"))]
        self._line((f"review: {word}", style), (f"  {passed} of {decided} criteria", "dim"))
        for finding in findings:
            seqs = ", ".join(str(seq) for seq in finding["evidence"])
            note = one_line(str(finding["note"]), TEXT_CHARS_MAX)
            evidence = f"  {note}{f' (entry {seqs})' if seqs else ''}"
            criterion = one_line(str(finding["criterion"]), TEXT_CHARS_MAX)
            self._line(("     ", ""), _MARKS[finding["status"]], (f" {criterion}", ""), (evidence, "dim"))

    def _what(self, payload: JsonObject) -> str:
        target = self._targets.get(str(payload["call"]), "")
        return f"{_text(payload, 'tool')} {target}".rstrip()


_VERDICTS: Final[dict[bool | None, Piece]] = {
    True: ("passed", "good"),
    False: ("failed", "bad"),
    None: ("nothing a program could decide", "warn"),
}


def answer_line(payload: JsonObject) -> str:
    """Who answered, and what that took: of a reply that is no step of a run."""
    return f"{_text(payload, 'model')}{_cost(payload)}"


def _cost(payload: JsonObject) -> str:
    usage = cast("Mapping[str, int]", payload.get("usage", {}))
    cached = f" ({usage['cached']} cached)" if usage.get("cached") else ""
    took = f", {_duration(payload)}" if "ms" in payload else ""
    return f"  {usage.get('in', 0)} in{cached}, {usage.get('out', 0)} out{took}"


def target_of(args: Mapping[str, JsonValue]) -> str:
    """What a call is about, in one line: its path, command, address, or its arguments."""
    for name in _TARGETS:
        value = args.get(name)
        if isinstance(value, str):
            return one_line(value, TARGET_CHARS_MAX)
        if isinstance(value, list):
            return one_line(" ".join(str(part) for part in value), TARGET_CHARS_MAX)
    return one_line(json.dumps(args, ensure_ascii=False), TARGET_CHARS_MAX) if args else ""


def _target_of_text(arguments: str) -> str:
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return one_line(arguments, TARGET_CHARS_MAX)
    is_object = isinstance(found, dict)
    return target_of(cast("Mapping[str, JsonValue]", found)) if is_object else one_line(arguments, TARGET_CHARS_MAX)


def _text(payload: JsonObject, key: str) -> str:
    return one_line(str(payload.get(key, "")), TEXT_CHARS_MAX)


def _duration(payload: JsonObject) -> str:
    ms = payload.get("ms", 0)
    number = ms if isinstance(ms, int | float) else 0
    return f"{number / 1000:.1f} s" if number >= 1000 else f"{number:g} ms"  # noqa: PLR2004 -- a second
