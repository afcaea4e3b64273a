"""A session as the API has it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kernel.directive import AttachedFile
from kernel.journal.entry import Entry
from ouroboros.session import Session, Turn
from webui.desk import Desk
from webui.rest.etags import tag_of
from webui.rest.shapes import Asked, Json, Line, Micros, Name, Seq, Shape, Usd, Words
from webui.rooms import title_of

TurnStatus = Literal["open", "waiting", "paused", "done", "declined", "stopped", "failed"]
ApprovalWord = Literal["", "manual", "allow-list", "auto"]


class SessionRow(Shape):
    """A session in a list. `snippet` is where the words looked for stand."""

    id: str
    title: str
    name: str
    status: Literal["active", "archived", "deleted"]
    pinned: bool
    busy: bool = Field(description="A turn is under way.")
    model: str
    persona: str
    workspace: str
    turns: int
    parent: str
    created_us: Micros
    updated_us: Micros
    snippet: str = ""


class FileOut(Shape):
    name: str
    media_type: str
    digest: str
    size_bytes: int


class GenerationOut(Shape):
    """One Seed of a turn, its run, and what the review said of it."""

    seed: str
    run: str
    status: str
    note: str
    reviewed: bool
    passed: bool | None


class TurnOut(Shape):
    """What one message led to."""

    number: int
    status: TurnStatus
    phase: str
    message: str
    attached: list[FileOut]
    reply: str
    note: str
    generations: list[GenerationOut]


class OriginOut(Shape):
    session: str
    turn: int


class SessionOut(Shape):
    """A session as it stands. The newest TURNS_SHOWN turns; all that was said is under `messages`."""

    id: str
    title: str
    name: str
    model: str
    persona: str
    approve: ApprovalWord
    pinned: bool
    archived: bool
    deleted: bool
    busy: bool
    workspace: str
    tokens: int
    cost_micro_usd: Usd
    created_us: Micros
    updated_us: Micros
    origin: OriginOut | None = Field(description="What it was forked from.")
    turns: list[TurnOut]
    queued: list[str] = Field(description="Messages that wait for the turn under way to end.")
    draft: dict[str, Json] | None = Field(description="A Seed that waits for a person: see `sessions_draft`.")


class MessageOut(Shape):
    """One thing that was said."""

    seq: Seq
    time_us: Micros
    turn: int
    role: str
    kind: str = Field(description="goal, answer, steer, question or reply")
    text: str
    status: str = Field(description="Of a reply: how the turn ended.")
    run: str
    attached: list[FileOut]


class SessionIn(Asked):
    """A new session, with its first message if there is a text."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Release notes", "text": "Summarise CHANGELOG.md in five lines."}]}
    )

    name: Annotated[str, Field(max_length=80)] = ""
    model: Name = ""
    persona: Name = ""
    approve: ApprovalWord = ""
    workspace: Line = ""
    text: Annotated[str, Field(max_length=64_000)] = ""


class SessionEdit(Asked):
    """What is left out stays. An empty name takes the name away, an empty model goes back to the settings'."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Release notes", "pinned": True}]})

    name: Annotated[str, Field(max_length=80)] | None = None
    pinned: bool | None = None
    archived: bool | None = None
    model: Name | None = None
    persona: Name | None = None
    approve: ApprovalWord | None = None


class SayIn(Asked):
    """A message. `key` is the sender's name for it: said again with it, it is taken once, after a restart too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Now in German.", "key": "m-7f3a"}]})

    text: Words
    key: Annotated[str, Field(max_length=64)] = ""
    queue: bool = Field(default=False, description="Wait for the turn under way instead of steering its agent.")
    attach: tuple[Annotated[str, Field(max_length=64)], ...] = Field(default=(), max_length=16)


class Became(Shape):
    """`known`: its key was taken before."""

    became: Literal["begun", "steered", "queued", "known"]


class DraftIn(Asked):
    """Accept the draft that waits, with what is given in place of its own; or decline it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accept": True, "criteria": ["file notes.md exists"]}]})

    accept: bool
    goal: Words | None = None
    constraints: tuple[Words, ...] | None = Field(default=None, max_length=200)
    criteria: tuple[Words, ...] | None = Field(default=None, max_length=200)


class AnswerBody(Asked):
    """To what an agent asked (`ask_user`)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"run": "r01k3v8n5w-4tq9x2m", "text": "The second."}]})

    run: Annotated[str, Field(min_length=1, max_length=80)]
    text: Words


class SessionFork(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"turn": 2, "name": "Another way"}]})

    turn: Annotated[int, Field(ge=0, le=1_000_000, description="The last that it has; left out: all.")] | None = None
    name: Annotated[str, Field(max_length=80)] = ""


class ResayIn(Asked):
    """Say a turn anew: it and what came after it leave the conversation, not the record."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"turn": 1, "text": "Summarise it in ten lines."}]})

    turn: Annotated[int, Field(ge=1, le=1_000_000)]
    text: Words
    key: Annotated[str, Field(max_length=64)] = ""


class RewindIn(Asked):
    """Leave what came after a turn out of the conversation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"turn": 1}]})

    turn: Annotated[int, Field(ge=0, le=1_000_000, description="The last that is kept; 0 for none.")]


class Made(Shape):
    session: str


TURNS_SHOWN = 50


def session_tag(session: Session) -> str:
    """Of what an edit may change: what is said meanwhile is no reason to refuse a new name."""
    own = (session.name, session.pinned, session.archived, session.model, session.persona, session.approve)
    return tag_of([session.id, *own])


def session_out(desk: Desk, session: Session) -> SessionOut:
    talk = desk.house.conversations.of(session)
    values: dict[str, Any] = {
        **{name: getattr(session, name) for name in ("id", "name", "model", "persona", "approve", "workspace")},
        **{name: getattr(session, name) for name in ("pinned", "archived", "deleted", "created_us", "updated_us")},
        "title": title_of(session),
        "busy": talk.busy,
        "tokens": session.tokens,
        "cost_micro_usd": session.micro_usd,
        "origin": {"session": session.origin.session, "turn": session.origin.turn} if session.origin else None,
        "turns": [_turn(turn) for turn in session.turns[-TURNS_SHOWN:]],
        "queued": [said.text for said in talk.queue],
        "draft": talk.draft.spec.model_dump(mode="json") if talk.draft.spec is not None else None,
    }
    return SessionOut.model_validate(values)


def message_out(entry: Entry) -> MessageOut:
    said: dict[str, Any] = dict(entry.payload or {})
    return MessageOut(
        seq=entry.seq,
        time_us=entry.time_us,
        turn=int(said.get("turn", 0)),
        role=str(said.get("role", "")),
        kind=str(said.get("as", "")),
        text=str(said.get("text", "")),
        status=str(said.get("status", "")),
        run=str(said.get("run", "")),
        attached=[FileOut.model_validate(one) for one in said.get("attached", ())],
    )


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "status": turn.status,
        "phase": turn.phase,
        "message": turn.message,
        "attached": [_file(one) for one in turn.attached],
        "reply": turn.reply,
        "note": turn.note,
        "generations": [
            {
                "seed": one.seed.id,
                "run": one.run,
                "status": one.status,
                "note": one.note,
                "reviewed": one.reviewed,
                "passed": one.verdict.passed if one.verdict else None,
            }
            for one in turn.generations
        ],
    }


def _file(one: AttachedFile) -> dict[str, Any]:
    return {"name": one.name, "media_type": one.media_type, "digest": one.digest, "size_bytes": one.size_bytes}
