"""Messages of a session on their way: what goes along with them, whether they were taken, those that wait.

Guarantees: whoever was told that a message waits may rely on it: it stands in the session's stream first, with its
files, and leaves the stream's queue by being said, by being taken back, or with the turn that is stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import anyio

from kernel.directive import AttachedFile
from kernel.errors import Conflict, NotFound, OxiosError
from kernel.jsontypes import JsonValue
from kernel.ports.provider import Attachment
from kernel.runtime.attached import kept, read_kept
from ouroboros import session as words
from ouroboros.session import Session
from ouroboros.sessionbook import record

if TYPE_CHECKING:
    from kernel.journal.appender import Appender

QUEUED_MAX: Final = 20
UPLOADS_MAX: Final = 16


@dataclass(slots=True, eq=False)
class Said:
    """A message on its way. `key` is the sender's, so that it is taken once."""

    text: str
    context: str = ""
    key: str = ""
    attached: tuple[Attachment, ...] = ()
    files: tuple[AttachedFile, ...] = ()
    """What is attached, where only the record has the bytes."""
    seq: int = 0
    """The entry that says that it waits; 0 where there is none yet."""

    async def bytes_of(self, journal: Appender) -> tuple[Attachment, ...]:
        """What is attached to it. Raises: Invalid, where that was erased; JournalDown."""
        return self.attached or await read_kept(journal, self.files)


class Begun:
    """A turn as it begins: whether its message came on record."""

    def __init__(self) -> None:
        self._known = anyio.Event()
        self._refusal: OxiosError | None = None

    async def taken(self) -> None:
        """Wait until the message is on record. Raises: why it is not."""
        await self._known.wait()
        if self._refusal is not None:
            raise self._refusal

    def take(self) -> None:
        self._known.set()

    def refuse(self, why: OxiosError) -> None:
        """It will not be on record; of no meaning where it is."""
        if not self._known.is_set():
            self._refusal = why
            self._known.set()


class Uploads:
    """Files that wait for the message that they go with, each by a name that we gave it."""

    def __init__(self) -> None:
        self._kept: dict[str, Attachment] = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def keep(self, attachment: Attachment) -> str:
        """Its name. Raises: Conflict, where too many wait."""
        if len(self._kept) >= UPLOADS_MAX:
            raise Conflict(f"{UPLOADS_MAX} files wait for a message already", remedy="send them first")
        name = secrets.token_urlsafe(9)
        self._kept[name] = attachment
        return name

    def find(self, names: Iterable[str]) -> tuple[Attachment, ...]:
        """Raises: NotFound."""
        wanted = tuple(names)
        if any(name not in self._kept for name in wanted):
            raise NotFound("an attached file is not there any more", remedy="attach it again")
        return tuple(self._kept[name] for name in wanted)

    def drop(self, names: Iterable[str]) -> None:
        """Their message was taken."""
        for name in names:
            self._kept.pop(name, None)


def restored(session: Session) -> list[Said]:
    """What waits by the session's stream, oldest first."""
    return [Said(one.text, key=one.key, files=one.attached, seq=one.seq) for one in session.waiting]


async def record_queued(journal: Appender, session: Session, said: Said) -> None:
    """Raises: JournalDown."""
    payload: dict[str, JsonValue] = {"text": said.text, "key": said.key}
    if said.attached:
        payload["attached"] = [asdict(one) for one in kept(said.attached)]
    entry = await record(journal, session, words.QUEUED, payload, blobs=tuple(one.data for one in said.attached))
    said.seq = entry.seq


async def record_dropped(journal: Appender, session: Session, dropped: Iterable[Said]) -> None:
    """They wait no more. Raises: JournalDown."""
    seqs: list[JsonValue] = [said.seq for said in dropped if said.seq]
    if seqs:
        await record(journal, session, words.UNQUEUED, {"entries": seqs})
