"""`Idempotency-Key`: a request that creates something, sent again, is answered and not done again.

Guarantees: for KEPT_S, in this server's life, the same key of the same user with the same request gets the
same answer; with another request it is refused; while the first is under way the second waits for it. Only
what was done is kept: a request that failed may be sent again with its key. At most KEYS_MAX of a user and
BYTES_MAX of all are kept, then new keys are refused: a key that was taken is never forgotten early.
Does not outlive the server: answers may hold a secret that stands nowhere else (a token's text), so they
are in memory alone. A message's key stands in its session's record, and is known after a restart too.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.clock import Clock
from kernel.errors import Invalid, LimitExceeded
from kernel.ids import Principal

HEADER: Final = "idempotency-key"
KEPT_S: Final = 24 * 3_600
KEYS_MAX: Final = 10_000
BYTES_MAX: Final = 64 * 1024 * 1024
KEY_CHARS_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was sent."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Slot:
    """A key that was taken; `answer` is None until what it stands for is done."""

    request: str
    taken_s: float
    answer: Kept | None = None
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class Once:
    """The keys of everybody since the server started."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: OrderedDict[tuple[Principal, str], Slot] = OrderedDict()
        self._counts: dict[Principal, int] = {}
        self._bytes = 0

    @asynccontextmanager
    async def turn(self, owner: Principal, key: str, request: str) -> AsyncGenerator[Slot]:
        """The key's slot, held by nobody else. `request` tells one request from another.

        Raises: Invalid (the key is none, or was used for another request), LimitExceeded.
        """
        if not 0 < len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
            raise Invalid("this is no idempotency key", remedy=f"at most {KEY_CHARS_MAX} printable ASCII characters")
        slot = self._slot(owner, key, request)
        if slot.request != request:
            raise Invalid("the key was used for another request", remedy="use a new key for each thing to be done")
        async with slot.lock:
            try:
                yield slot
            finally:
                if slot.answer is None:
                    self._drop((owner, key), slot)

    def keep(self, slot: Slot, answer: Kept) -> None:
        slot.answer = answer
        self._bytes += len(answer.body)

    def _slot(self, owner: Principal, key: str, request: str) -> Slot:
        self._forget_old()
        found = self._slots.get((owner, key))
        if found is not None:
            return found
        if self._counts.get(owner, 0) >= KEYS_MAX or self._bytes >= BYTES_MAX:
            raise LimitExceeded("too many idempotency keys are kept", remedy="send it without one, or wait a day")
        slot = self._slots[owner, key] = Slot(request, self._clock.monotonic_s())
        self._counts[owner] = self._counts.get(owner, 0) + 1
        return slot

    def _forget_old(self) -> None:
        oldest_s = self._clock.monotonic_s() - KEPT_S
        while self._slots:
            place, slot = next(iter(self._slots.items()))
            if slot.taken_s > oldest_s or slot.answer is None or slot.lock.locked():
                return
            self._drop(place, slot)

    def _drop(self, place: tuple[Principal, str], slot: Slot) -> None:
        """Whoever waits for the slot finds it without an answer, and does what it stands for."""
        if self._slots.get(place) is not slot or slot.lock.statistics().tasks_waiting:
            return
        del self._slots[place]
        self._counts[place[0]] -= 1
        if not self._counts[place[0]]:
            del self._counts[place[0]]
        self._bytes -= len(slot.answer.body) if slot.answer else 0
