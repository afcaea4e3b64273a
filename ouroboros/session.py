"""A session: a conversation of many turns, as a fold over its journal stream.

Guarantees: the state is a function of the stream's entries alone; the live cycle applies each entry
it appends through the same `apply` that a restart uses. So a turn that a crash cut off goes on at
the phase it was in, with what was settled before.
What this does not do: know what its runs did. They have streams of their own, and are named here.

Source: RFC-0013.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

from kernel.directive import Budget, Mount
from kernel.ids import KERNEL, Principal, RunId
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from ouroboros.assess import Ask, Assessment, Clarify, Conversation, Round, Task, assessment_of
from ouroboros.seed import Seed, SeedSpec
from ouroboros.verdict import Verdict

CREATED: Final = "session.created"
CHANGED: Final = "session.changed"
RENAMED: Final = "session.renamed"
ARCHIVED: Final = "session.archived"
MESSAGE: Final = "session.message"
STARTED: Final = "phase.started"
FINISHED: Final = "phase.finished"
REPLIED: Final = "model.reply"

HISTORY_TURNS_MAX: Final = 20
HISTORY_CHARS_MAX: Final = 3_000
_TURN_CHARS_MAX: Final = 700

TurnStatus: TypeAlias = Literal["open", "waiting", "paused", "done", "declined", "stopped", "failed"]
OPEN: Final = frozenset({"open", "paused"})
"""A turn that `resume` goes on with."""


@dataclass(slots=True)
class Generation:
    """One Seed of a turn, its run, and what the review said of it."""

    seed: Seed
    run: str = ""
    status: str = ""
    """The run's, once it ended or paused."""
    note: str = ""
    reviewed: bool = False
    verdict: Verdict | None = None


@dataclass(slots=True)
class Turn:
    """What one message led to. Only `Session.apply` changes it."""

    number: int
    message: str
    context: str = ""
    status: TurnStatus = "open"
    rounds: list[Round] = field(default_factory=list[Round])
    assessment: Assessment | None = None
    """Of the message with the newest answers; None while that is still to be made."""
    draft: SeedSpec | None = None
    generations: list[Generation] = field(default_factory=list[Generation])
    declined: bool = False
    """The person did not want the draft carried out."""
    phase: str = ""
    """The newest that was begun."""
    reply: str = ""
    note: str = ""
    best: int = 0
    """Which generation the reply is of."""

    @property
    def current(self) -> Generation | None:
        return self.generations[-1] if self.generations else None


@dataclass(slots=True)
class Session:
    """Where a session stands. Only `apply` changes it."""

    id: RunId
    owner: Principal = KERNEL
    name: str = ""
    model: str = ""
    persona: str = ""
    approve: str = ""
    mounts: tuple[Mount, ...] = ()
    budget: Budget = field(default_factory=Budget)
    archived: bool = False
    created_us: int = 0
    updated_us: int = 0
    turns: list[Turn] = field(default_factory=list[Turn])
    tokens: int = 0
    """Spent by phases and by runs that ended."""
    micro_usd: int = 0
    keys: set[str] = field(default_factory=set[str])
    """Of messages whose sender gave one: sent again, they are known."""

    def apply_entry(self, entry: Entry) -> None:
        if entry.payload is not None:
            self.apply(entry.kind, entry.payload, entry.time_us)

    def apply(self, kind: str, payload: JsonObject, time_us: int) -> None:
        """Fold one entry in; other kinds change nothing."""
        handler = _HANDLERS.get(kind)
        if handler is not None:
            self.updated_us = time_us
            handler(self, cast("Mapping[str, Any]", payload))

    @property
    def turn(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    @property
    def workspace(self) -> str:
        return self.mounts[0].path if self.mounts else ""

    def charge(self, spent: Mapping[str, int]) -> None:
        self.tokens += spent.get("tokens", 0)
        self.micro_usd += spent.get("micro_usd", 0)

    def ask(self, persona_prompt: str = "") -> Ask:
        """The newest turn as it is assessed and drafted from."""
        turn = self.turns[-1]
        return Ask(turn.message, self.history(), turn.context, tuple(turn.rounds), persona_prompt)

    def history(self, chars_max: int = HISTORY_CHARS_MAX) -> str:
        """Earlier turns, oldest first: each goal and answer cut, the newest kept where not all fit."""
        told: list[str] = []
        for turn in reversed(self.turns[:-1][-HISTORY_TURNS_MAX:]):
            text = f"user: {_cut(turn.message)}\nanswer: {_cut(turn.reply) or f'none ({turn.status})'}"
            if sum(len(one) + 1 for one in told) + len(text) > chars_max:
                break
            told.append(text)
        return "\n".join(reversed(told))


def fold(session: RunId, entries: Iterable[Entry]) -> Session:
    """The state after `entries`, oldest first."""
    state = Session(session)
    for entry in entries:
        state.apply_entry(entry)
    return state


def _created(session: Session, payload: Mapping[str, Any]) -> None:
    session.owner = Principal(payload["owner"])
    session.name = payload["name"]
    session.mounts = tuple(Mount(**item) for item in payload["mounts"])
    session.budget = Budget(**payload.get("budget", {}))
    session.created_us = session.updated_us
    _changed(session, payload)


def _changed(session: Session, payload: Mapping[str, Any]) -> None:
    session.model = payload.get("model", session.model)
    session.persona = payload.get("persona", session.persona)
    session.approve = payload.get("approve", session.approve)


def _renamed(session: Session, payload: Mapping[str, Any]) -> None:
    session.name = payload["name"]


def _archived(session: Session, payload: Mapping[str, Any]) -> None:
    session.archived = bool(payload["archived"])


def _message(session: Session, payload: Mapping[str, Any]) -> None:
    text = payload["text"]
    if key := payload.get("key"):
        session.keys.add(key)
    match payload["as"]:
        case "goal":
            session.turns.append(Turn(payload["turn"], text, payload.get("context", "")))
        case "answer":
            turn = session.turns[-1]
            asked = turn.assessment.questions if isinstance(turn.assessment, Clarify) else ()
            turn.rounds.append(Round(asked, text))
            turn.assessment, turn.status = None, "open"
        case "reply":
            turn = session.turns[-1]
            turn.reply, turn.status = text, payload["status"]
            turn.note, turn.best = payload.get("note", ""), payload.get("generation", 0)
            session.charge(payload.get("spent", {}))
        case _:
            return  # What was said to a run under way stands in that run's stream.


def _phase_started(session: Session, payload: Mapping[str, Any]) -> None:
    session.turns[-1].phase = payload["phase"]
    if session.turns[-1].status == "paused":
        session.turns[-1].status = "open"


def _phase_finished(session: Session, payload: Mapping[str, Any]) -> None:
    if payload["ok"]:
        _PHASES[payload["phase"]](session.turns[-1], payload["result"])
        session.charge(payload["result"].get("spent", {}))


def _replied(session: Session, payload: Mapping[str, Any]) -> None:
    usage = payload.get("usage", {})
    session.tokens += usage.get("in", 0) + usage.get("out", 0)
    session.micro_usd += payload.get("micro_usd", 0)


def _assessed(turn: Turn, result: Mapping[str, Any]) -> None:
    turn.assessment = assessment_of(result)
    match turn.assessment:
        case Clarify():
            turn.status = "waiting"
        case Task() if "seed" in result:
            turn.generations.append(Generation(Seed.model_validate(result["seed"])))
        case Task() | Conversation():
            return


def _drafted(turn: Turn, result: Mapping[str, Any]) -> None:
    turn.draft = SeedSpec.model_validate(result["draft"])


def _confirmed(turn: Turn, result: Mapping[str, Any]) -> None:
    if "seed" in result:
        turn.generations.append(Generation(Seed.model_validate(result["seed"])))
    else:
        turn.declined = True


def _executed(turn: Turn, result: Mapping[str, Any]) -> None:
    current = turn.generations[-1]
    current.run, current.status, current.note = result["run"], result["status"], result["note"]


def _reviewed(turn: Turn, result: Mapping[str, Any]) -> None:
    current = turn.generations[-1]
    current.reviewed = True
    current.verdict = Verdict.read(result["verdict"]) if result.get("verdict") else None


def _evolved(turn: Turn, result: Mapping[str, Any]) -> None:
    if "seed" in result:
        turn.generations.append(Generation(Seed.model_validate(result["seed"])))


def _cut(text: str) -> str:
    return text if len(text) <= _TURN_CHARS_MAX else f"{text[:_TURN_CHARS_MAX]}…"


_PHASES: Final = {
    "assess": _assessed,
    "crystallize": _drafted,
    "confirm": _confirmed,
    "execute": _executed,
    "review": _reviewed,
    "evolve": _evolved,
}
_HANDLERS: Final = {
    CREATED: _created,
    CHANGED: _changed,
    RENAMED: _renamed,
    ARCHIVED: _archived,
    MESSAGE: _message,
    STARTED: _phase_started,
    FINISHED: _phase_finished,
    REPLIED: _replied,
}
