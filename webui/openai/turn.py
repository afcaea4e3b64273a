"""One turn of a session, followed by a client of OpenAI's API until there is a reply.

Guarantees: the client hears what is written meanwhile, and what is called, as reasoning, and the reply, as
recorded, as content; usage is the sum of what the providers reported, phases and runs together. A Seed that
is drafted on the way is accepted as it stands: nobody else would answer. A client that goes ends the turn.
Questions of an agent and approvals wait in the pages' inbox, as everybody's do.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import anyio

from kernel.errors import BudgetExhausted, Conflict, OxiosError, Unavailable
from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.log import get_logger
from kernel.runtime.live import LiveReasoning, LiveText
from ouroboros.assess import Clarify, numbered
from ouroboros.session import Session, Turn
from webui.conversations import Conversation
from webui.conversations import Said as Message
from webui.desk import Desk
from webui.openai.asking import Wanted
from webui.stream import Asked, Follower, Frame, Lagged, everything

_END: Final = Asked(RunId(""))
"""Put into the follower's queue by ourselves: the turn has ended, and all its entries stand before this."""
_log = get_logger("openai")


@dataclass(slots=True)
class Carried:
    """A turn under way, and what came of it."""

    desk: Desk
    session: Session
    wanted: Wanted
    context: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    runs: list[str] = field(default_factory=list[str])

    @property
    def turn(self) -> Turn:
        turn = self.session.turn
        if turn is None:
            raise Conflict("the turn was not begun", remedy="see the server's log, and try again")
        return turn

    @property
    def content(self) -> str:
        """The reply; the questions, where the answer to them is the next message."""
        turn = self.turn
        if turn.status == "waiting" and isinstance(turn.assessment, Clarify):
            return numbered(turn.assessment.questions)
        return turn.reply

    @property
    def finish(self) -> Literal["stop", "length"]:
        return "length" if self.turn.note == BudgetExhausted.code else "stop"

    async def reasoning(self) -> AsyncGenerator[str]:
        """Carry the turn out; what is said and done on the way.

        Raises: Unavailable, where it did not come to a reply, or the client reads too slowly; Conflict.
        """
        hub, talk = self.desk.house.hub, self.desk.house.conversations.of(self.session)
        self.session = talk.session
        ours = self.session.id
        before = self.session.seq
        async with hub.following(everything, (ours,)) as follower:
            with _watched(talk, follower):
                try:
                    said = Message(self.wanted.text, self.context, attached=self.wanted.attached)
                    if await talk.say(said) != "begun":
                        raise Conflict("the session is busy", remedy="send it again")
                    while (frame := await follower.next()) is not _END:
                        if told := self._told(frame):
                            yield told
                except Lagged:
                    raise Unavailable(
                        "the turn was read too slowly, or the server goes", remedy=f"see session {ours}"
                    ) from None
                finally:
                    if talk.busy:
                        with anyio.CancelScope(shield=True):
                            await _stop(talk)
        self._require_reply(before)

    def _told(self, frame: Frame) -> str:
        match frame:
            case LiveText() | LiveReasoning() if frame.run != self.session.id:
                return frame.text
            case Entry():
                return self._entry(frame)
            case _:
                return ""

    def _entry(self, entry: Entry) -> str:
        said = cast("dict[str, Any]", entry.payload or {})
        match entry.kind:
            case "model.reply":
                usage = said.get("usage", {})
                self.prompt_tokens += int(usage.get("in", 0))
                self.completion_tokens += int(usage.get("out", 0))
                return ""
            case "run.started":
                self.runs.append(entry.stream)
                return ""
            case "phase.started":
                return f"\n[{said.get('phase', '')}]\n"
            case "call.intent" if entry.stream != self.session.id:
                return f"\n[{said.get('tool', '')} {json.dumps(said.get('args', {}), ensure_ascii=False)[:300]}]\n"
            case _:
                return ""

    def _require_reply(self, before: int) -> None:
        turn = self.session.turn
        if turn is None or self.session.seq == before:
            raise Unavailable("the turn could not be carried out", remedy="see the session, or the server's log")
        if turn.status in {"paused", "failed", "open"} and turn.note != BudgetExhausted.code:
            raise Unavailable(turn.reply or turn.note or "the turn did not end", remedy=f"session {self.session.id}")
        if turn.status == "stopped":
            raise Conflict("the turn was stopped", remedy="send it again")


@contextmanager
def _watched(talk: Conversation, follower: Follower) -> Generator[None]:
    def changed() -> None:
        if talk.draft.spec is not None:
            talk.confirm(talk.draft.spec)
        if not talk.busy:
            follower.put(_END)

    talk.watchers.append(changed)
    try:
        yield
    finally:
        talk.watchers.remove(changed)


async def _stop(talk: Conversation) -> None:
    try:
        await talk.stop()
    except OxiosError as error:
        _log.warning("turn_not_stopped", session=talk.session.id, why=error.explain())
