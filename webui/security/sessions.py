"""Sessions of browsers: on the server, by the hash of a random secret, in a file of the home.

Guarantees: a restart keeps them; a session ends when it was idle or old enough, when its user went or was
added anew, or when it was dropped; what stands in the file opens nothing. The file is replaced whole or not
at all, mode 0600.
Does not write each use: after a crash a session may seem up to NOTED_S idler than it was.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from kernel.clock import Clock
from kernel.handle.passwords import write_private
from kernel.ids import Principal
from kernel.log import get_logger

FILE: Final = "web-sessions.json"
IDLE_S: Final = 7 * 24 * 3_600
AGE_S: Final = 30 * 24 * 3_600
NOTED_S: Final = 300
SESSIONS_MAX: Final = 20
"""Of one user; the one that was idle longest gives way."""
_SECRET_BYTES: Final = 32
_SECRET_CHARS_MAX: Final = 128
_MICRO: Final = 1_000_000
_log = get_logger("web")


@dataclass(slots=True)
class WebSession:
    """`begun_us` never changes, `seen_us` with each use."""

    principal: Principal
    begun_us: int
    seen_us: int


class WebSessions:
    """Those of this home."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._file = home / "keys" / FILE
        self._clock = clock
        self._by_hash: dict[str, WebSession] = {}
        self._noted_us = 0

    def load(self) -> None:
        """A file that cannot be read is no session: everybody signs in again."""
        try:
            read = cast("dict[str, dict[str, Any]]", json.loads(self._file.read_text()))
            self._by_hash = {
                key: WebSession(Principal(str(one["principal"])), int(one["begun_us"]), int(one["seen_us"]))
                for key, one in read.items()
            }
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("web_sessions_not_read", file=str(self._file), why=str(error))

    def begin(self, principal: Principal) -> str:
        """A new session's secret, for the cookie alone."""
        self._drop_dead()
        mine = sorted(
            (key for key, one in self._by_hash.items() if one.principal == principal),
            key=lambda key: self._by_hash[key].seen_us,
        )
        for key in mine[: max(0, len(mine) - SESSIONS_MAX + 1)]:
            del self._by_hash[key]
        secret, now_us = secrets.token_urlsafe(_SECRET_BYTES), self._clock.now_us()
        self._by_hash[_hash(secret)] = WebSession(principal, now_us, now_us)
        self._write()
        return secret

    def peek(self, secret: str) -> WebSession | None:
        """The live session with this secret. Found by hash: the secret is not compared."""
        if not secret or len(secret) > _SECRET_CHARS_MAX:
            return None
        session = self._by_hash.get(_hash(secret))
        return None if session is None or self._dead(session, self._clock.now_us()) else session

    def find(self, secret: str) -> WebSession | None:
        """As `peek`, and it counts as a use."""
        session = self.peek(secret)
        if session is None:
            return None
        now_us = session.seen_us = self._clock.now_us()
        if now_us - self._noted_us > NOTED_S * _MICRO:
            self._write()
        return session

    def end(self, secret: str) -> None:
        self._drop([_hash(secret)])

    def end_all(self, principal: Principal, *, but: str = "") -> int:
        """Those of a user, except the one with the secret `but`; how many."""
        spared = _hash(but) if but else ""
        keys = [key for key, one in self._by_hash.items() if one.principal == principal and key != spared]
        self._drop(keys)
        return len(keys)

    def count(self, principal: Principal) -> int:
        now_us = self._clock.now_us()
        return sum(one.principal == principal and not self._dead(one, now_us) for one in self._by_hash.values())

    def close(self) -> None:
        """Write what was not written yet."""
        if self._by_hash or self._file.exists():
            self._write()

    def _dead(self, session: WebSession, now_us: int) -> bool:
        return now_us - session.seen_us > IDLE_S * _MICRO or now_us - session.begun_us > AGE_S * _MICRO

    def _drop_dead(self) -> None:
        now_us = self._clock.now_us()
        self._by_hash = {key: one for key, one in self._by_hash.items() if not self._dead(one, now_us)}

    def _drop(self, keys: Iterable[str]) -> None:
        dropped = [key for key in keys if self._by_hash.pop(key, None) is not None]
        if dropped:
            self._write()

    def _write(self) -> None:
        self._noted_us = self._clock.now_us()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._file, json.dumps({key: asdict(one) for key, one in self._by_hash.items()}))


def _hash(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()
