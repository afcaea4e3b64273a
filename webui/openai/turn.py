"""One turn of a session, followed by a client of OpenAI's API until there is a reply.

Guarantees: the client hears what is written and done while it happens (`webui.openai.telling`), and at the end
what of the recorded reply it has not heard. A Seed that is drafted on the way is accepted as it stands: nobody
else would answer. A client that goes ends the turn. Questions of an agent and approvals wait in the pages'
inbox, as everybody's do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

import anyio

from kernel.errors import BudgetExhausted, Conflict, OxiosError, Unavailable
from kernel.ids import RunId
from kernel.log import get_logger
from ouroboros.assess import Clarify, numbered
from ouroboros.session import Session, Turn
from webui.conversations import Conversation
from webui.desk import Desk
from webui.openai.asking import Wanted
from webui.openai.telling import Piece, Telling
from webui.queued import Said as Message
from webui.stream import Asked, Follower, Lagged, everything

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
    telling: Telling = field(init=False)

    def __post_init__(self) -> None:
        self.telling = Telling(self.session.id, files=bool(self.wanted.attached))

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
        return self.desk.house.conversations.of(self.session).reply

    @property
    def finish(self) -> Literal["stop", "length"]:
        return "length" if self.turn.note == BudgetExhausted.code else "stop"

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Carry the turn out; what is written and done on the way, and at last the rest of the reply.

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
                        for piece in self.telling.take(frame):
                            yield piece
                except Lagged:
                    raise Unavailable(
                        "the turn was read too slowly, or the server goes", remedy=f"see session {ours}"
                    ) from None
                finally:
                    if talk.busy:
                        with anyio.CancelScope(shield=True):
                            await _stop(talk)
        self._require_reply(before)
        if rest := self.telling.written.rest(self.content):
            yield Piece("content", rest)

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
