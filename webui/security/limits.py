"""Bounds on strangers: how often somebody may try to sign in, how much a request may carry.

Guarantees: a try counts when it begins, so many at once do not slip through; each failure beyond the free
ones doubles the wait, for the address and for the user's name, up to a bound, so nobody is locked out for
good by a stranger. What is remembered is bounded.
Does not tell addresses apart behind a proxy that does not say them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import HTTPReceiveMessage, Receive, WebSocketReceiveMessage

from kernel.clock import Clock
from kernel.errors import LimitExceeded

FREE_TRIES: Final = 5
WAIT_ADDRESS_S_MAX: Final = 900.0
WAIT_NAME_S_MAX: Final = 60.0
FORGET_S: Final = 3_600.0
KEYS_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 1024 * 1024
UPLOAD_BYTES_MAX: Final = 20 * 1024 * 1024


class TooOften(LimitExceeded):
    """`retry_after_s` says when the next try counts."""

    def __init__(self, retry_after_s: float) -> None:
        whole = max(1, round(retry_after_s))
        super().__init__("that was tried too often", remedy=f"wait {whole} s")
        self.retry_after_s = whole


@dataclass(slots=True)
class _Tries:
    failed: int
    last_s: float


class SignInLimit:
    """The tries of everybody since the server started."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def begin(self, address: str, name: str = "") -> None:
        """Count a try as failed, until `passed` says otherwise. Raises: TooOften, and then it is not counted."""
        keys = _keys(address, name)
        wait_s = max(self._wait_s(key, most_s) for key, most_s in keys)
        if wait_s > 0:
            raise TooOften(wait_s)
        now_s = self._clock.monotonic_s()
        for key, _ in keys:
            tries = self._tries.get(key)
            if tries is None or now_s - tries.last_s > FORGET_S:
                tries = self._tries[key] = _Tries(0, now_s)
            tries.failed += 1
            tries.last_s = now_s
            self._tries.move_to_end(key)
        while len(self._tries) > KEYS_MAX:
            self._tries.popitem(last=False)

    def passed(self, address: str, name: str = "") -> None:
        for key, _ in _keys(address, name):
            self._tries.pop(key, None)

    def _wait_s(self, key: str, most_s: float) -> float:
        tries = self._tries.get(key)
        if tries is None or tries.failed < FREE_TRIES:
            return 0.0
        pause_s = min(most_s, 2.0 ** min(tries.failed - FREE_TRIES, 30))
        return tries.last_s + pause_s - self._clock.monotonic_s()


def _keys(address: str, name: str) -> list[tuple[str, float]]:
    keys = [(f"address {address}", WAIT_ADDRESS_S_MAX)]
    return [*keys, (f"name {name[:64]}", WAIT_NAME_S_MAX)] if name else keys


def too_large(bytes_max: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(detail=f"the request carries more than {bytes_max} bytes")


def require_size(length: str, bytes_max: int) -> None:
    """What the request says of itself. Raises: RequestEntityTooLarge."""
    if length and (not length.isascii() or not length.isdigit() or len(length) > 18 or int(length) > bytes_max):  # noqa: PLR2004 -- digits of no size there is
        raise too_large(bytes_max)


def bounded(receive: Receive, bytes_max: int) -> Receive:
    """The same messages. Raises: RequestEntityTooLarge, as soon as they are too much."""
    seen = 0

    async def count() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > bytes_max:
                raise too_large(bytes_max)
        return message

    return count
