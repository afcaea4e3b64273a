"""A session: a conversation of many turns, as a fold over its journal stream.

Guarantees: the state is a function of the stream's entries, and of the turns it was forked with; the
live cycle applies each entry through the same `apply_entry` that a restart uses, each once. So a turn
that a crash cut off goes on at the phase it was in, with what was settled before. What was erased
leaves a gap, and the rest stands.
What this does not do: know what its runs did. They have streams of their own, and are named here.

Source: RFC-0013.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

from kernel.directive import AttachedFile, Budget, Mount
from kernel.ids import KERNEL, Principal, RunId
from kernel.journal.entry import Entry
from kernel.runtime.spending import Spending
from ouroboros.assess import Ask, Assessment, Clarify, Conversation, Round, Task, assessment_of
from ouroboros.seed import Seed, SeedSpec
from ouroboros.verdict import Verdict

CREATED: Final = "session.created"
CHANGED: Final = "session.changed"
RENAMED: Final = "session.renamed"
ARCHIVED: Final = "session.archived"
PINNED: Final = "session.pinned"
DELETED: Final = "session.deleted"
REWOUND: Final = "session.rewound"
MESSAGE: Final = "session.message"
QUEUED: Final = "session.queued"
UNQUEUED: Final = "session.unqueued"
STARTED: Final = "phase.started"
FINISHED: Final = "phase.finished"

HISTORY_TURNS_MAX: Final = 20
HISTORY_CHARS_MAX: Final = 3_000
_TURN_CHARS_MAX: Final = 700

TurnStatus: TypeAlias = Literal["open", "waiting", "paused", "done", "declined", "stopped", "failed"]
OPEN: Final = frozenset({"open", "paused"})
"""A turn that `resume` goes on with."""
ERASED: Final = "[erased]"
"""What is shown in place of a message whose entry has lost its content."""


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
    attached: tuple[AttachedFile, ...] = ()
    """Files that came with the message or with an answer, by digest."""
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
    ended_seq: int = 0
    """The entry that ended it; 0 until then."""

    @property
    def current(self) -> Generation | None:
        return self.generations[-1] if self.generations else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for the turn under way to end, by the entry `seq`."""

    seq: int
    text: str
    key: str = ""
    attached: tuple[AttachedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """What a session was forked from: the turns up to `turn`, as they were at entry `seq`."""

    session: RunId
    turn: int
    seq: int
    depth: int = 1
    """How many forks lie between it and a session that is none."""


@dataclass(slots=True)
class Session:
    """Where a session stands. Only `apply_entry` changes it."""

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
    spending: Spending = field(default_factory=Spending)
    """Of its phases."""
    runs: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Tokens and micro-dollars of its runs that ended."""
    keys: set[str] = field(default_factory=set[str])
    """Of messages whose sender gave one: sent again, they are known."""
    waiting: list[Waiting] = field(default_factory=list[Waiting])
    """Said while a turn was under way, and not begun with yet; oldest first."""

    pinned: bool = False
    deleted: bool = False
    """Out of every list and search, until it is restored."""
    origin: Origin | None = None
    superseded: list[Turn] = field(default_factory=list[Turn])
    """Turns that were rewound, oldest first: they count for nothing any more."""
    created_seq: int = 0
    seq: int = field(default=0, compare=False)
    """The newest entry of the stream that is folded in."""

    def apply_entry(self, entry: Entry) -> None:
        """Fold one entry in, unless it is already; kinds of others change nothing."""
        if entry.seq <= self.seq:
            return
        self.seq = entry.seq
        if entry.payload is None:
            return
        self.spending.apply(entry.kind, entry.payload)
        handler = _HANDLERS.get(entry.kind)
        if handler is not None:
            self.updated_us = entry.time_us
            handler(self, cast("Mapping[str, Any]", entry.payload))

    @property
    def turn(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    @property
    def next_number(self) -> int:
        return self.turns[-1].number + 1 if self.turns else 1

    @property
    def workspace(self) -> str:
        return self.mounts[0].path if self.mounts else ""

    @property
    def tokens(self) -> int:
        """Spent by phases and by runs that ended."""
        return self.spending.total.tokens + sum(tokens for tokens, _ in self.runs.values())

    @property
    def micro_usd(self) -> int:
        return self.spending.total.micro_usd + sum(money for _, money in self.runs.values())

    def charge(self, payload: Mapping[str, Any]) -> None:
        """What a run had spent when this was recorded; said again, it replaces what was said before."""
        if "spent" in payload:
            spent = payload["spent"]
            self.runs[payload["run"]] = (spent["tokens"], spent["micro_usd"])

    def ask(self, persona_prompt: str = "") -> Ask:
        """The newest turn as it is assessed and drafted from."""
        turn = self.turns[-1]
        files = tuple(f"{one.name} ({one.media_type}, {one.size_bytes} bytes)" for one in turn.attached)
        return Ask(turn.message, self.history(), turn.context, tuple(turn.rounds), persona_prompt, files)

    def history(self, chars_max: int = HISTORY_CHARS_MAX) -> str:
        """Earlier turns, oldest first: each goal and answer cut, the newest kept where not all fit."""
        told: list[str] = []
        for turn in reversed(self.turns[:-1][-HISTORY_TURNS_MAX:]):
            files = f" [attached: {', '.join(one.name for one in turn.attached)}]" if turn.attached else ""
            answers = "".join(f"\nasked: {one.asked()}\nuser: {_cut(one.answer)}" for one in turn.rounds)
            reply = _cut(turn.reply) or f"none ({turn.status})"
            text = f"user: {_cut(turn.message)}{files}{answers}\nanswer: {reply}"
            if sum(len(one) + 1 for one in told) + len(text) > chars_max:
                break
            told.append(text)
        return "\n".join(reversed(told))


def fold(session: RunId, entries: Iterable[Entry], turns: Iterable[Turn] = ()) -> Session:
    """The state after `entries`, oldest first; `turns` are those it was forked with."""
    state = Session(session, turns=list(turns))
    for entry in entries:
        state.apply_entry(entry)
    return state


def _created(session: Session, payload: Mapping[str, Any]) -> None:
    session.owner = Principal(payload["owner"])
    session.name = payload["name"]
    session.mounts = tuple(Mount(**item) for item in payload["mounts"])
    session.budget = Budget(**payload.get("budget", {}))
    session.created_us, session.created_seq = session.updated_us, session.seq
    if origin := payload.get("origin"):
        session.origin = Origin(RunId(origin["session"]), origin["turn"], origin["seq"], origin["depth"])
    _changed(session, payload)


def _changed(session: Session, payload: Mapping[str, Any]) -> None:
    session.model = payload.get("model", session.model)
    session.persona = payload.get("persona", session.persona)
    session.approve = payload.get("approve", session.approve)


def _renamed(session: Session, payload: Mapping[str, Any]) -> None:
    session.name = payload["name"]


def _archived(session: Session, payload: Mapping[str, Any]) -> None:
    session.archived = bool(payload["archived"])


def _pinned(session: Session, payload: Mapping[str, Any]) -> None:
    session.pinned = bool(payload["pinned"])


def _deleted(session: Session, payload: Mapping[str, Any]) -> None:
    session.deleted = bool(payload["deleted"])


def _rewound(session: Session, payload: Mapping[str, Any]) -> None:
    kept = [turn for turn in session.turns if turn.number <= payload["turn"]]
    session.superseded += session.turns[len(kept) :]
    session.turns = kept


def _turn_of(session: Session, payload: Mapping[str, Any]) -> Turn:
    """The turn that an entry is of; one of erased words, where what began it is gone."""
    number = payload["turn"]
    if not session.turns or session.turns[-1].number < number:
        session.turns.append(Turn(number, ERASED))
    return session.turns[-1]


def _message(session: Session, payload: Mapping[str, Any]) -> None:
    text = payload["text"]
    if key := payload.get("key"):
        session.keys.add(key)
    if queued := payload.get("queued"):
        session.waiting = [one for one in session.waiting if one.seq != queued]
    match payload["as"]:
        case "goal":
            session.turns.append(Turn(payload["turn"], text, payload.get("context", ""), attached_of(payload)))
        case "answer":
            turn = _turn_of(session, payload)
            asked = turn.assessment.questions if isinstance(turn.assessment, Clarify) else ()
            turn.rounds.append(Round(asked, text))
            turn.attached += attached_of(payload)
            turn.assessment, turn.status = None, "open"
        case "reply":
            turn = _turn_of(session, payload)
            turn.reply, turn.status = text, payload["status"]
            turn.ended_seq = 0 if turn.status in OPEN else session.seq
            turn.note, turn.best = payload.get("note", ""), payload.get("generation", 0)
            session.charge(payload)
        case "question":
            _turn_of(session, payload).status = "waiting"
        case _:
            return  # What was said to a run under way stands in that run's stream.


def _queued(session: Session, payload: Mapping[str, Any]) -> None:
    if key := payload.get("key"):
        session.keys.add(key)
    session.waiting.append(Waiting(session.seq, payload["text"], key or "", attached_of(payload)))


def _unqueued(session: Session, payload: Mapping[str, Any]) -> None:
    session.waiting = [one for one in session.waiting if one.seq not in payload["entries"]]


def attached_of(payload: Mapping[str, Any]) -> tuple[AttachedFile, ...]:
    """The files that a message's entry names."""
    return tuple(AttachedFile(**item) for item in payload.get("attached", ()))


def _phase_started(session: Session, payload: Mapping[str, Any]) -> None:
    turn = _turn_of(session, payload)
    turn.phase = payload["phase"]
    turn.status, turn.ended_seq = "open", 0


def _phase_finished(session: Session, payload: Mapping[str, Any]) -> None:
    if payload["ok"]:
        _PHASES[payload["phase"]](_turn_of(session, payload), payload["result"])
        session.charge(payload["result"])


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
    if turn.current is not None:  # Its Seed may have been erased from here.
        turn.current.run, turn.current.status, turn.current.note = result["run"], result["status"], result["note"]


def _reviewed(turn: Turn, result: Mapping[str, Any]) -> None:
    if turn.current is not None:
        turn.current.reviewed = True
        turn.current.verdict = Verdict.read(result["verdict"]) if result.get("verdict") else None


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
    PINNED: _pinned,
    DELETED: _deleted,
    REWOUND: _rewound,
    MESSAGE: _message,
    QUEUED: _queued,
    UNQUEUED: _unqueued,
    STARTED: _phase_started,
    FINISHED: _phase_finished,
}
