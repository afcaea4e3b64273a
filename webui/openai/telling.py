"""From what happens in a turn to what its client is told: pieces of content, and of reasoning.

Guarantees: what the model of an execution run writes is content, as it is written; phases, calls and thoughts are
reasoning. A text waits until its request is on record, a commit later at most: so what was called stands before
what is written after it, and an answer that was cut off at its length limit goes on without a gap. Usage is the
sum of what the providers reported.
The reply of a conversation is content as it is written, too, read out of the phase's JSON.
What it does not tell: what else phases are answered with, and what runs of other agents say.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, cast

from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.runtime.live import LiveReasoning, LiveText
from ouroboros.ahead import Ahead
from webui.openai.written import Written
from webui.stream import Frame

_ARGUMENT_CHARS: Final = 300


class Piece(NamedTuple):
    """Something for the client, named by the field of a delta that holds it."""

    field: Literal["content", "reasoning_content"]
    text: str


def aside(pieces: Iterable[Piece], written: Written, reply: str) -> str:
    """What was done and said on the way to the reply, where that is told by itself."""
    begins = written.reply_begins(reply)
    end = len(written.text) if begins is None else begins
    told, at, before = list[str](), 0, ""
    for piece in pieces:
        if piece.field == "content":
            at += len(piece.text)
            if at > end:
                continue
        told.append(f"\n{piece.text}" if piece.field != before else piece.text)
        before = piece.field
    return "".join(told).strip()


@dataclass(slots=True)
class Telling:
    """One turn of a session as it is told; `session` is its stream."""

    session: RunId
    files: bool = False
    """Files came with the message: it will be a task, whatever a model that does not see them says."""
    ahead: Ahead = field(init=False)
    written: Written = field(default_factory=Written)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    runs: list[str] = field(default_factory=list[str])
    """Its execution runs."""
    _round: int = 0
    """The newest request of the newest run that is on record."""
    _ahead: list[LiveText | LiveReasoning] = field(default_factory=list[LiveText | LiveReasoning])
    _cut_off: bool = False
    """The newest reply ended at its length limit: the next goes on with it."""

    def __post_init__(self) -> None:
        self.ahead = Ahead(self.session)

    def take(self, frame: Frame) -> Generator[Piece]:
        """What is to be told for it."""
        match frame:
            case LiveText() if frame.run == self.session and not self.files:
                if text := self.written.add(self.ahead.text(frame)):
                    yield Piece("content", text)
            case LiveText() | LiveReasoning() if frame.run in self.runs[-1:]:
                if frame.round > self._round:
                    self._ahead.append(frame)
                else:
                    yield from self._live(frame)
            case Entry():
                yield from self._entry(frame)
            case _:
                return

    def _live(self, frame: LiveText | LiveReasoning) -> Generator[Piece]:
        if isinstance(frame, LiveReasoning):
            yield Piece("reasoning_content", frame.text)
        elif text := self.written.add(frame.text):
            yield Piece("content", text)

    def _entry(self, entry: Entry) -> Generator[Piece]:
        self.ahead.entry(entry)
        said = cast("dict[str, Any]", entry.payload or {})
        ours = entry.stream in self.runs[-1:]
        match entry.kind:
            case "run.started" if said.get("account") == self.session:
                self.runs.append(entry.stream)
                self._round, self._cut_off = 0, False
            case "model.request" if ours:
                yield from self._requested(said)
            case "model.reply":
                usage = said.get("usage", {})
                self.prompt_tokens += int(usage.get("in", 0))
                self.completion_tokens += int(usage.get("out", 0))
                if entry.stream == self.session:
                    self.written.passage()
                elif ours and said.get("purpose") != "compaction":
                    self._cut_off = said.get("finish") == "length" and not said.get("calls")
            case "phase.started":
                yield Piece("reasoning_content", f"\n[{said.get('phase', '')}]\n")
            case "call.intent" if entry.stream != self.session:
                args = json.dumps(said.get("args", {}), ensure_ascii=False)[:_ARGUMENT_CHARS]
                yield Piece("reasoning_content", f"\n[{said.get('tool', '')} {args}]\n")
            case _:
                return

    def _requested(self, said: dict[str, Any]) -> Generator[Piece]:
        """What is written from now on answers this request; some of it may be here already."""
        if said.get("purpose") == "compaction":
            return
        if not self._cut_off:
            self.written.passage()
        self._round = int(said["round"])
        ahead, self._ahead = self._ahead, []
        for frame in ahead:
            yield from self.take(frame)
