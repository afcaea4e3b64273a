"""Whatever a run's record says, honestly made, a replay ends where it ended."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import anyio
import pytest

from kernel.ids import KERNEL, Digest, Principal, RunId, agent, call_id, user
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.runtime.loop import LoopBounds, Purpose, run_loop
from kernel.runtime.replay import replay, same_state
from kernel.runtime.state import TERMINAL, CallState, RunState, fold

RUN: Final = RunId("r1")
OWNER: Final = user("tester")
LIVES_MAX: Final = 60
_START: Final[JsonObject] = {
    "directive": {"goal": "g"},
    "env": {"mounts": []},
    "owner": OWNER,
    "grant": "worker",
    "system": "s",
    "user": "u",
}
Reply: TypeAlias = str | Sequence[tuple[str, str]]
"""A final text, or calls as (tool, arguments)."""

_PLAIN: Final[Sequence[Reply]] = [[("read", "a"), ("read", "b"), ("write", "c")], [("exec", "d")], "the end"]
_EMPTY_END: Final[Sequence[Reply]] = [[("read", "a")], ""]
_EMPTY: Final[Sequence[Reply]] = ["", "", ""]
_STUCK: Final[Sequence[Reply]] = [[("fails", "x")] for _ in range(8)]
_SCRIPTS: Final = {"plain": _PLAIN, "summary": _EMPTY_END, "empty": _EMPTY, "stuck": _STUCK}


class _Death(Exception):
    """The process is gone, or the run's scope was cancelled."""


@dataclass(slots=True)
class Life:
    """Steps that record as the live ones do, beset by chance: crashes, messages, pauses, stops."""

    chance: random.Random
    script: Sequence[Reply]
    entries: list[Entry] = field(default_factory=list[Entry])
    summary: str = "in short"
    trouble: float = 0.15

    async def ask(self, state: RunState, purpose: Purpose) -> None:
        self.record(state, "model.request", {"purpose": purpose} if purpose != "turn" else {})
        self._meanwhile(state)
        if self.chance.random() < self.trouble / 2:
            self.record(state, "model.failed", {"code": "context_overflow"})
            self._take_out(state)
            await self.ask(state, purpose)
            return
        if self.chance.random() < self.trouble:
            self.record(state, "model.failed", {"code": "provider_down"})
            self.record(state, "run.paused", {"note": "down", "code": "provider_down"})
            return
        reply = self.summary if purpose == "summary" else self.script[min(state.turns, len(self.script) - 1)]
        first = state.calls_made + 1
        calls: list[JsonObject] = [
            {"call": call_id(RUN, first + n), "id": f"m{first + n}", "name": tool, "arguments": arguments}
            for n, (tool, arguments) in enumerate(() if isinstance(reply, str) else reply)
        ]
        payload: dict[str, object] = {"text": reply if isinstance(reply, str) else "", "calls": calls}
        if purpose != "turn":
            payload["purpose"] = purpose
        self.record(state, "model.reply", payload)  # pyright: ignore[reportArgumentType] -- JSON all the same
        if calls and self.chance.random() < self.trouble:
            self._say(state, "run.steered", {"text": "of your budget", "by": "budget"}, agent(RUN))

    def _take_out(self, state: RunState) -> None:
        """Older messages, whether or not a model sums them up."""
        if self.chance.random() < 0.5:
            self.record(state, "model.request", {"purpose": "compaction", "by": "context"})
            if self.chance.random() < 0.5:
                self.record(state, "model.failed", {"purpose": "compaction", "code": "down", "by": "context"})
            else:
                self.record(state, "model.reply", {"purpose": "compaction", "text": "sum", "by": "context"})
        self.record(state, "context.compacted", {"end": 2, "summary": "sum", "by": "context"})

    async def call(self, state: RunState, call: CallState) -> None:
        self._meanwhile(state)
        if call.status != "waiting" and call.tool == "exec":
            if call.status != "in_doubt":
                self.record(state, "call.in_doubt", {"call": call.id, "tool": call.tool})
            choice = self.chance.choice(["retry", "done", "nobody"])
            if choice == "nobody":
                self.record(state, "run.paused", {"note": "in doubt", "code": "in_doubt", "call": call.id})
                return
            if choice == "done":
                self.record(state, "call.outcome", {"call": call.id, "ok": True, "text": "it happened", "by": OWNER})
                return
        if self.chance.random() < self.trouble:
            denied = {"call": call.id, "layer": "paths", "reason": "no", "remedy": "none"}
            self.record(state, "call.denied", denied)
            return
        if self.chance.random() < self.trouble:
            self._say(state, "approval.asked", {"call": call.id}, agent(RUN))
            self._meanwhile(state)
            self._say(state, "approval.answered", {"status": "granted", "by": OWNER})
        self.record(state, "call.intent", {"call": call.id, "effect": "external" if call.tool == "exec" else "read"})
        await anyio.lowlevel.checkpoint()
        self._meanwhile(state)
        self.record(state, "call.outcome", {"call": call.id, "ok": call.tool != "fails", "text": call.arguments})

    def parallel(self, call: CallState) -> bool:
        return call.tool == "read" and call.status == "waiting"

    def record(self, state: RunState, kind: str, payload: JsonObject) -> None:
        if self.chance.random() < self.trouble / 3:
            raise _Death
        if kind in {"run.paused", "run.finished"}:
            payload = {**payload, "turns": state.turns}
        self._say(state, kind, payload, agent(RUN))

    def _meanwhile(self, state: RunState) -> None:
        """What may happen wherever the loop waits."""
        if state.status != "running":
            raise _Death
        happens = self.chance.random()
        if happens < self.trouble / 3:
            self._say(state, "run.steered", {"text": "also this", "by": OWNER})
        elif happens < self.trouble / 2:
            self._say(state, "run.paused", {"note": "late", "code": "deadline_passed", "by": "process"}, agent(RUN))
            raise _Death
        elif happens < self.trouble / 1.9:
            self._say(state, "run.finished", {"status": "cancelled", "note": "stopped", "by": OWNER})
            raise _Death

    def _say(self, state: RunState, kind: str, payload: JsonObject, by: Principal = OWNER) -> None:
        self.outside(kind, payload, by)
        state.apply(kind, payload, len(self.entries))

    def outside(self, kind: str, payload: JsonObject, by: Principal = OWNER) -> None:
        seq = len(self.entries) + 1
        self.entries.append(Entry(seq, seq, by, RUN, kind, Digest(""), payload))


async def _lives(life: Life, turns_max: int) -> RunState:
    """Start, die, resume, until the run has ended or enough was tried."""
    life.outside("run.started", _START)
    state = fold(RUN, life.entries)
    for _ in range(LIVES_MAX):
        try:
            await run_loop(state, life, LoopBounds(turns_max))
        except* _Death:
            pass
        state = fold(RUN, life.entries)
        if state.status in TERMINAL or life.chance.random() < 0.05:
            break
        if life.chance.random() < 0.05:
            life.outside("run.finished", {"status": "cancelled", "note": "cancelled", "by": OWNER})
            break
        if life.chance.random() < 0.2:
            life.outside("approval.answered", {"status": "expired", "by": "kernel"}, KERNEL)
        turns_max += 1
        life.outside("run.resumed", {"by": OWNER})
    if state.status == "finished":
        life.outside("call.intent", {"call": "u1", "effect": "read"})
        life.outside("call.outcome", {"call": "u1", "ok": True, "text": "reviewed"})
        life.outside("review.verdict", {"passed": True})
    return fold(RUN, life.entries)


@pytest.mark.parametrize("script", _SCRIPTS)
@pytest.mark.parametrize("summary", ["in short", ""])
def test_a_replay_of_any_honest_record_ends_in_its_state(script: str, summary: str) -> None:
    """Crashes, resumes, pauses, stops, messages, doubts, hints and reviews, at every point: no divergence."""
    for seed in range(150):
        life = Life(random.Random(f"{script} {seed}"), _SCRIPTS[script], summary=summary)
        state = anyio.run(_lives, life, 2 + seed % 7)
        replayed = anyio.run(replay, RUN, (), life.entries)
        record = "\n".join(f"{entry.seq} {entry.kind} {entry.payload}" for entry in life.entries)
        assert replayed.divergence is None, f"seed {seed}: {replayed.divergence}\n{record}"
        assert same_state(replayed.state, state), f"seed {seed}\n{record}"
        assert replayed.entries == len(life.entries)
