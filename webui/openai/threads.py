"""Which session a request goes on with: clients of OpenAI's API send what was said before, and no session.

Guarantees: who sends back what was said here, and something new, goes on with the same session; who goes on
from an earlier place gets a fork of it, and one whose past is not known here a new session that is shown it
as quoted text. Instructions and the space around a text make no other past: programs put the time of day into the
ones, and trim the other. Whose session it is decides the user, not the request.
Does not outlive the server: then a past is shown instead of remembered.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from kernel.ids import Principal

KNOWN_MAX: Final = 20_000
SYSTEM: Final = "system"
"""The role of instructions."""
Said: TypeAlias = tuple[str, str]
"""Role and text."""


@dataclass(frozen=True, slots=True)
class Place:
    """A session after one of its turns."""

    session: str
    turn: int


class Threads:
    """What was said here, by whom, since the server started; the places longest unused are forgotten."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, Place] = OrderedDict()

    def find(self, owner: Principal, said: Sequence[Said]) -> Place | None:
        key = _key(owner, said)
        found = self._places.get(key)
        if found is not None:
            self._places.move_to_end(key)
        return found

    def learn(self, owner: Principal, said: Sequence[Said], place: Place) -> None:
        self._places[_key(owner, said)] = place
        while len(self._places) > KNOWN_MAX:
            self._places.popitem(last=False)


def _key(owner: Principal, said: Sequence[Said]) -> str:
    words = [(role, text.strip()) for role, text in said if role != SYSTEM]
    return sha256(json.dumps([owner, *words]).encode()).hexdigest()
