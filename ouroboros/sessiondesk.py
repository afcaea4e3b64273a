"""What a person does to sessions of theirs: name, pin, archive, delete, fork, rewind, switch model and persona.

Guarantees: each act is an entry in the session's stream and nothing else, made in the owner's name;
another person's session is *not found*. A deleted session is out of every list and search and comes
back by `restore`; its words leave the journal only by an erasure. A fork has the turns it was made
with and a budget of its own, and what becomes of either changes nothing in the other. A rewind takes
turns out of the conversation, not out of the record; files stay as they are.

Source: RFC-0013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, get_args

from kernel.errors import Conflict, Invalid, LimitExceeded, NotFound
from kernel.ids import Principal
from kernel.jsontypes import JsonObject, JsonValue
from kernel.persona import load_personas, pick
from kernel.settings.tree import ApprovalMode
from ouroboros import execute
from ouroboros import session as words
from ouroboros.cycle import RESTORES, Cycle, TurnResult, check_message
from ouroboros.session import Session, Turn
from ouroboros.sessionbook import PINNED_MAX, Making, SessionBook, catch_up, check_name, create, record
from ouroboros.sessionrows import OPENING_CHARS_MAX

FORK_DEPTH_MAX: Final = 64
APPROVALS: Final = ("", *get_args(ApprovalMode))


class Models(Protocol):
    """`kernel.runtime.model.ModelDesk`, as far as it is needed here."""

    def provider_of(self, model: str) -> object:
        """Raises: NotFound."""
        ...


class Supervisor(Protocol):
    @property
    def desk(self) -> Models: ...


class Kernel(execute.Kernel, Protocol):
    """`kernel.boot.Kernel`, as far as it is needed here."""

    @property
    def supervisor(self) -> Supervisor: ...


@dataclass(frozen=True, slots=True)
class SessionDesk:
    """One person's acts. A `Session` that is given is the caller's, and is changed with the record."""

    kernel: Kernel
    owner: Principal

    @property
    def book(self) -> SessionBook:
        return SessionBook(self.kernel.journal, self.owner)

    async def check(
        self,
        session: Session,
        *,
        name: str | None = None,
        pinned: bool | None = None,
        model: str | None = None,
        persona: str | None = None,
        approve: str | None = None,
    ) -> None:
        """That each of these may be recorded, so that several are or none. Raises: as `rename`, `pin`, `switch`."""
        await self._own(session)
        if name is not None:
            check_name(name)
        self._check_switch(model, persona, approve)
        if pinned and not session.pinned:
            await self._check_pin()

    async def rename(self, session: Session, name: str) -> None:
        """An empty name takes the name away. Raises: Invalid, NotFound, JournalDown."""
        check_name(name)
        await self._own(session)
        if session.name != name:
            await self._record(session, words.RENAMED, {"name": name})

    async def pin(self, session: Session, *, pinned: bool) -> None:
        """Raises: LimitExceeded, where too many are pinned; NotFound, JournalDown."""
        await self._own(session)
        if session.pinned == pinned:
            return
        if pinned:
            await self._check_pin()
        await self._record(session, words.PINNED, {"pinned": pinned})

    async def archive(self, session: Session, *, archived: bool) -> None:
        """Raises: NotFound, JournalDown."""
        await self._own(session)
        if session.archived != archived:
            await self._record(session, words.ARCHIVED, {"archived": archived})

    async def delete(self, session: Session) -> None:
        """Put a tombstone; a turn under way is ended first. Raises: NotFound, JournalDown."""
        await self._own(session)
        await Cycle(self.kernel, session).stop("the session was deleted")
        await self._record(session, words.DELETED, {"deleted": True, "status": "deleted"})

    async def restore(self, session: Session) -> None:
        """Take the tombstone away. Raises: Conflict, where there is none; NotFound, JournalDown."""
        await self._own(session, deleted=True)
        status = "archived" if session.archived else "active"
        await self._record(session, words.DELETED, {"deleted": False, "status": status})

    async def fork(self, session: Session, turn: int | None = None, *, name: str = "") -> Session:
        """A new session with the turns up to `turn` (all that have ended, where it is None); 0 for none of them.

        Raises: NotFound (no such turn, session), Conflict (the turn has not ended), LimitExceeded
        (forks of forks), Invalid (name), JournalDown.
        """
        check_name(name)
        await self._own(session)
        last = _last_ended(session) if turn is None else _turn(session, turn)
        if last is not None and not last.ended_seq:
            raise Conflict(f"turn {last.number} has not ended", remedy="fork from an earlier turn, or finish it first")
        depth = 1 if session.origin is None else session.origin.depth + 1
        if depth > FORK_DEPTH_MAX:
            raise LimitExceeded(f"forks of forks go {FORK_DEPTH_MAX} deep", remedy="fork an earlier session")
        # A turn that was inherited ended before this session began: it is there from the first entry on.
        seq = max(session.created_seq, 0 if last is None else last.ended_seq)
        origin = {"session": session.id, "turn": 0 if last is None else last.number, "seq": seq, "depth": depth}
        made = Making(
            owner=self.owner,
            mounts=session.mounts,
            name=name,
            model=session.model,
            persona=session.persona,
            approve=session.approve,
            budget=session.budget,
        )
        more: dict[str, JsonValue] = {"origin": dict[str, JsonValue](origin)}
        if last is not None:
            more["opening"] = session.turns[0].message[:OPENING_CHARS_MAX]
        forked = await create(self.kernel.journal, made, self.kernel.clock.now_us(), more)
        return await self.book.read(forked.id)

    async def rewind(self, session: Session, turn: int) -> None:
        """Leave the turns after `turn` out of the conversation from now on; 0 leaves none in it.

        A turn under way is ended first, with its run; whoever carries it out here has to stop before.
        Raises: NotFound (no such turn, session); Conflict, where none comes after it; JournalDown.
        """
        await self._own(session)
        kept = _turn(session, turn)
        if not session.turns or kept is session.turns[-1]:
            raise Conflict(f"no turn comes after turn {turn}", remedy="name an earlier turn, or send a message")
        await Cycle(self.kernel, session).stop("rewound")
        await self._record(session, words.REWOUND, {"turn": turn})

    async def edit(self, cycle: Cycle, turn: int, message: str) -> TurnResult:
        """Say turn `turn` anew: it and what came after it are rewound, and `message` takes its place.

        Raises: as `rewind` and `Cycle.run`.
        """
        await self._own(cycle.session)
        check_message(message)
        edited = _turn(cycle.session, turn)
        if edited is None:
            raise NotFound("there is no turn 0", remedy="turns are numbered from 1")
        if cycle.busy:
            raise Conflict("a turn of this session is under way", remedy="stop it first")
        await self.rewind(cycle.session, turn - 1)
        return await cycle.run(message, edited.context)

    async def switch(
        self, session: Session, *, model: str | None = None, persona: str | None = None, approve: str | None = None
    ) -> None:
        """What the next phase and run use; an empty text goes back to the settings' own.

        Raises: NotFound (model, persona, session); Conflict (the persona is disabled); Invalid
        (approval mode); JournalDown.
        """
        await self._own(session)
        self._check_switch(model, persona, approve)
        wanted = {"model": model, "persona": persona, "approve": approve}
        real: dict[str, JsonValue] = {
            key: value for key, value in wanted.items() if value is not None and value != getattr(session, key)
        }
        if real:
            await self._record(session, words.CHANGED, real)

    def _check_switch(self, model: str | None, persona: str | None, approve: str | None) -> None:
        if model:
            self.kernel.supervisor.desk.provider_of(model)
        if persona:
            pick(load_personas(self.kernel.settings.home), persona)
        if approve is not None and approve not in APPROVALS:
            raise Invalid(f"{approve!r} is no approval mode", remedy=f"one of {', '.join(APPROVALS[1:])}")

    async def _check_pin(self) -> None:
        where = {"owner": self.owner, "pinned": 1}
        rows = await self.kernel.journal.rows("sessions", where, limit=2 * PINNED_MAX)
        if sum(row["status"] != "deleted" for row in rows) >= PINNED_MAX:
            raise LimitExceeded(f"{PINNED_MAX} sessions are pinned", remedy="unpin one first")

    async def _own(self, session: Session, *, deleted: bool = False) -> None:
        """Raises: NotFound, where it is another's, or deleted; Conflict, where it should be deleted and is not."""
        if session.owner != self.owner:
            raise NotFound(f"there is no session {session.id!r}", remedy="`oxios sessions list` shows them")
        await catch_up(self.kernel.journal, session)
        if session.deleted and not deleted:
            raise NotFound(f"there is no session {session.id!r}", remedy=RESTORES)
        if deleted and not session.deleted:
            raise Conflict(f"session {session.id} is not deleted", remedy="there is nothing to restore")

    async def _record(self, session: Session, kind: str, payload: JsonObject) -> None:
        await record(self.kernel.journal, session, kind, payload, by=self.owner)


def _turn(session: Session, number: int) -> Turn | None:
    """None for 0. Raises: NotFound."""
    found = next((turn for turn in session.turns if turn.number == number), None)
    if found is None and number:
        raise NotFound(
            f"session {session.name or session.id} has no turn {number}", remedy="`oxios sessions show` numbers them"
        )
    return found


def _last_ended(session: Session) -> Turn | None:
    return next((turn for turn in reversed(session.turns) if turn.ended_seq), None)
