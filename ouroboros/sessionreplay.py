"""Going through a session once more with no model, no tool and no person: does it come to the same?

Guarantees: every phase that ended is carried out by its own node, its door the record: models answer
what they answered, a person decides as they decided, runs are replayed by the loop itself. What each
phase writes must equal what stands in the stream, and each reply must be what its turn leads to. So a
replay without a `Divergence` ends in the recorded state, and one with names the first entry that differs.
Does not compare what new ids and times make different, nor looks again at files that a review looked
at: the run's stream must hold that verdict. Where the settings bounded the cycle, as it was is right.

Source: RFC-0013.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from kernel.errors import Invalid
from kernel.ids import RunId
from kernel.journal.appender import Reader
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.runtime.history import History, read_history
from kernel.runtime.replay import Divergence, same_state
from kernel.runtime.replay import replay as replay_run
from kernel.runtime.text import cut_bytes
from ouroboros import session as words
from ouroboros.assess import Assess, Conversation
from ouroboros.criteria import parse_criterion
from ouroboros.crystallize import Crystallize
from ouroboros.cycle import NOT_CARRIED_OUT, REPLY_BYTES_MAX, next_phase, review_notes
from ouroboros.evolve import Bounds, best
from ouroboros.judge import Judge
from ouroboros.nodes import Answer, Node, Question
from ouroboros.phases import Assessing, Confirm, Decided, Evolving
from ouroboros.review import VERDICT
from ouroboros.seed import SeedSpec
from ouroboros.session import Session, Turn, fold
from ouroboros.sessionbook import SessionBook
from ouroboros.verdict import Verdict

_ENDED: Final = frozenset({"finished", "failed", "cancelled"})
_UNBOUNDED: Final = Bounds(generations_max=1_000_000, score_min=2.0)
_ROUNDS_MAX: Final = 1_000_000
_LEFT_OUT: Final = SeedSpec(goal="-").model_dump(mode="json", exclude={"goal"})


@dataclass(frozen=True, slots=True)
class SessionReplay:
    """How far it went: `entries` of the stream, `phases` carried out anew, `runs` replayed."""

    state: Session
    entries: int
    phases: int
    runs: int
    divergence: Divergence | None = None


class _DivergedError(Exception):
    def __init__(self, expected: object, found: object) -> None:
        super().__init__(expected)
        self.expected, self.found = str(expected), str(found)


@dataclass(slots=True)
class _RecordedModel:
    """Answers what was answered."""

    replies: list[Mapping[str, Any]]
    speaks: bool

    async def reply(self, question: Question) -> Answer:
        if not self.replies:
            raise _DivergedError(f"a question for {question.purpose}", "no answer")
        payload = self.replies.pop(0)
        # Of calls that nobody carries out the record holds no more than that there were some.
        return Answer(payload["text"], ("some tool",) if payload["finish"] == "tool_calls" else ())


async def replay_session(book: SessionBook, session: RunId) -> SessionReplay:
    """Raises: Invalid, where something of it, or of a run of its own, was erased; NotFound."""
    entries, inherited = await book.record_of(session)
    gone = next((entry for entry in entries if entry.payload is None), None)
    if gone is not None:
        raise Invalid(
            f"entry {gone.seq} ({gone.kind}) of session {session} was erased: what followed from it cannot be known",
            remedy="`oxios sessions show` tells what is left",
        )
    replay = _Replay(book.journal, fold(session, (), inherited))
    for place, entry in enumerate(entries):
        try:
            await replay.take(entry)
        except _DivergedError as found:
            divergence = Divergence(entry.seq, found.expected, found.found)
            return SessionReplay(replay.state, place, replay.phases, replay.runs, divergence)
    return SessionReplay(replay.state, len(entries), replay.phases, replay.runs)


@dataclass(slots=True)
class _Replay:
    journal: Reader
    state: Session
    phases: int = 0
    runs: int = 0
    _replies: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    _asked: str = ""
    """The model of the newest request."""

    async def take(self, entry: Entry) -> None:
        """Raises: _DivergedError."""
        payload = cast("Mapping[str, Any]", entry.payload or {})
        match entry.kind if payload else "":
            case words.STARTED:
                expected = next_phase(self.state.turns[-1], _UNBOUNDED)
                if expected != payload["phase"]:
                    raise _DivergedError(f"the phase {expected or 'of the reply'}", payload["phase"])
                self._replies, self._asked = [], ""
            case "model.request":
                self._asked = str(payload["model"])
            case "model.reply":
                self._replies.append(payload)
            case words.FINISHED if payload["ok"]:
                await self._phase(payload["phase"], payload["result"])
                self.phases += 1
            case words.MESSAGE if payload["as"] == "reply" and payload["status"] in {"done", "declined"}:
                _same(cut_bytes(await self._reply(self.state.turns[-1]), REPLY_BYTES_MAX), payload["text"])
            case _:
                pass
        self.state.apply_entry(entry)

    async def _phase(self, phase: str, result: Mapping[str, Any]) -> None:
        turn = self.state.turns[-1]
        if phase == "execute":
            await self._run(RunId(result["run"]), result)
        elif phase == "review":
            await self._review(turn, result)
        else:
            node = self._node(phase, turn, result)
            inputs = await node.prep()
            written = await node.post(inputs, await node.exec(inputs))
            if phase != "evolve" or result:
                _same(_specified(written), _specified(result))

    def _node(self, phase: str, turn: Turn, result: Mapping[str, Any]) -> Node[Any, Any]:
        model = _RecordedModel(self._replies, not self._asked.startswith("embedded/"))
        made_us = int(result.get("seed", {}).get("created_us", 0))
        match phase:
            case "assess":
                # A task may have been taken for one because no more questions were allowed.
                rounds_max = len(turn.rounds) if result["kind"] == "task" else _ROUNDS_MAX
                return Assessing(Assess(model, self.state.ask, rounds_max), self.state, lambda: made_us)
            case "crystallize":
                return Crystallize(model, self.state.ask)
            case "confirm":
                return Confirm(Decided(_decided(turn, result)), self.state, turn, lambda: made_us)
            case _:
                return Evolving(turn.generations[-1], _UNBOUNDED, lambda: made_us)

    async def _run(self, run: RunId, result: Mapping[str, Any]) -> None:
        history = await self._history(run)
        replayed = await replay_run(run, history.prefix, history.entries)
        if replayed.divergence is not None:
            found = replayed.divergence
            raise _DivergedError(f"{found.expected} at entry {found.seq} of run {run}", found.found)
        state = history.state()
        if not same_state(replayed.state, state):
            raise _DivergedError(f"the recorded state of run {run}", "another")
        if result["status"] in _ENDED:
            _same(state.status, result["status"])
        self.runs += 1

    async def _review(self, turn: Turn, result: Mapping[str, Any]) -> None:
        if turn.current is None or result["verdict"] is None:
            return
        stands = [one for one in (await self._history(RunId(result["run"]))).entries if one.kind == VERDICT]
        if not any(one.payload == result["verdict"] for one in stands):
            raise _DivergedError(f"the verdict in the stream of run {result['run']}", "another")
        if not self._replies:
            return
        verdict = Verdict.read(result["verdict"])
        said = [one for one in verdict.findings if parse_criterion(one.criterion).kind == "text"]
        evidence = [one for one in (await self._history(RunId(result["run"]))).entries if one.seq < stands[0].seq]
        judge = Judge(_RecordedModel(self._replies, speaks=True))
        judged = await judge.findings(turn.current.seed.goal, [one.criterion for one in said], evidence)
        _same([one.json() for one in judged], [one.json() for one in said])

    async def _reply(self, turn: Turn) -> str:
        if isinstance(turn.assessment, Conversation):
            return turn.assessment.reply
        if turn.declined:
            return NOT_CARRIED_OUT
        shown = turn.generations[best([one.verdict for one in turn.generations])]
        state = (await self._history(RunId(shown.run))).state()
        return (state.output + review_notes(shown.verdict)).strip() or state.note

    async def _history(self, run: RunId) -> History:
        history = await read_history(self.journal, run)
        if history.erased is not None:
            raise history.lost(history.erased)
        return history


def _decided(turn: Turn, result: Mapping[str, Any]) -> SeedSpec | None:
    """What the person decided, from what came of it."""
    if not result["accepted"]:
        return None
    if not result["changed"]:
        return turn.draft
    return SeedSpec.model_validate({name: result["seed"][name] for name in SeedSpec.model_fields})


def _specified(result: JsonObject | Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a Seed what was specified. A field that there was not when it was written is as one that is left out."""
    if "seed" not in result:
        return result
    seed = cast("Mapping[str, Any]", result["seed"])
    return {**result, "seed": {**_LEFT_OUT, **{name: value for name, value in seed.items() if name != "id"}}}


def _same(expected: object, found: object) -> None:
    if expected != found:
        raise _DivergedError(expected, found)
