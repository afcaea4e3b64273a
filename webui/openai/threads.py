"""Which session a request goes on with: clients of OpenAI's API send what was said before, and no session.

Guarantees: who sends back what was said here, and something new, goes on with the same session, after a restart too;
who goes on from an earlier place gets a fork of it, and one whose past is not known here a new session that is shown it
as quoted text. Instructions and the space around a text make no other past: programs put the time of day into the
ones, and trim the other. Whose session it is decides the user, not the request.
What a crash takes is the newest answers' places, within a commit: then a past is shown instead of remembered.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import anyio

from kernel.ids import Principal, RunId
from kernel.journal.entry import Draft
from kernel.jsontypes import JsonValue

if TYPE_CHECKING:
    from kernel.journal.appender import Appender

KNOWN_MAX: Final = 20_000
SYSTEM: Final = "system"
"""The role of instructions."""
TOLD: Final = "session.told"
"""The entry of a session that says by which pasts it is gone on with: their digests, which tell no words."""
_PAGE: Final = 1_000
Said: TypeAlias = tuple[str, str]
"""Role and text."""


@dataclass(frozen=True, slots=True)
class Place:
    """A session after one of its turns."""

    session: str
    turn: int


class Threads:
    """What was said here, by whom; the places longest unused are forgotten."""

    def __init__(self, journal: Appender) -> None:
        self._journal = journal
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._reading = anyio.Lock()
        self._read = False

    async def find(self, owner: Principal, said: Sequence[Said]) -> Place | None:
        """Raises: JournalDown."""
        await self._remember()
        key = _key(owner, said)
        found = self._places.get(key)
        if found is not None:
            self._places.move_to_end(key)
        return found

    def learn(self, owner: Principal, pasts: Iterable[Sequence[Said]], place: Place) -> None:
        """The place is gone on with by any of these. Raises: JournalDown."""
        keys: list[JsonValue] = [_key(owner, said) for said in pasts]
        self._journal.append(Draft(owner, RunId(place.session), TOLD, {"turn": place.turn, "pasts": keys}))
        for key in keys:
            self._keep(str(key), place)

    def _keep(self, key: str, place: Place) -> None:
        self._places[key] = place
        self._places.move_to_end(key)
        while len(self._places) > KNOWN_MAX:
            self._places.popitem(last=False)

    async def _remember(self) -> None:
        """Once: what is on record from before this server started."""
        async with self._reading:
            after = 0
            while not self._read:
                entries = await self._journal.read(kind=TOLD, after=after, limit=_PAGE)
                for entry in entries:
                    said = cast("Mapping[str, Any]", entry.payload or {})
                    for key in said.get("pasts", ()):
                        self._keep(key, Place(entry.stream, said["turn"]))
                self._read = len(entries) < _PAGE
                after = entries[-1].seq if entries else after


def _key(owner: Principal, said: Sequence[Said]) -> str:
    words = [(role, text.strip()) for role, text in said if role != SYSTEM]
    return sha256(json.dumps([owner, *words]).encode()).hexdigest()
