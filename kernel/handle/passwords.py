"""Passwords of the people of this home: scrypt verifiers in files, never in the journal.

Guarantees: a password is kept as a salted scrypt verifier with its parameters, in a file of mode 0600 of
its own; checking one takes as long for a name that has none. A new password comes to the syscall that
sets it by a ticket, not as an argument, so neither it nor its verifier is journalled.
Does not bound how often a password is tried: whoever asks on behalf of a stranger does.

Source: RFC-0016; RFC 7914 (scrypt).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final, cast

from anyio import CapacityLimiter, to_thread

from kernel.errors import Invalid, NotFound
from kernel.ids import Principal

FOLDER: Final = "passwords"
CHARS_MIN: Final = 12
CHARS_MAX: Final = 256
TICKETS_MAX: Final = 64
_COST: Final = 2**15
_BLOCKS: Final = 8
_LANES: Final = 1
_SALT: Final = 16
_BYTES: Final = 32
_COST_MAX: Final = 2**20
_AT_ONCE: Final = 2
"""Each check takes 32 MiB and about 100 ms of a core."""


class PasswordBook:
    """The files in `keys/passwords` of the home. Provided at boot."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "keys" / FOLDER
        self._tickets: dict[str, str] = {}
        self._hashing: CapacityLimiter | None = None

    def has(self, principal: Principal) -> bool:
        return self._file(principal).is_file()

    def set_us(self, principal: Principal) -> int:
        """When the password was set, in microseconds; 0 where there is none."""
        try:
            return self._file(principal).stat().st_mtime_ns // 1_000
        except OSError:
            return 0

    def deposit(self, password: str) -> str:
        """Leave a new password for the syscall that sets it; the ticket is good once.

        Raises: Invalid, where it is too short or too long.
        """
        if not CHARS_MIN <= len(password) <= CHARS_MAX:
            raise Invalid(
                f"a password has {CHARS_MIN} to {CHARS_MAX} characters", remedy="choose one that is, e.g. four words"
            )
        while len(self._tickets) >= TICKETS_MAX:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(16)
        self._tickets[ticket] = password
        return ticket

    async def redeem(self, ticket: str, principal: Principal) -> None:
        """Keep what was left with this ticket as the principal's password. Raises: NotFound."""
        password = self._tickets.pop(ticket, None)
        if password is None:
            raise NotFound("there is no password left with this ticket", remedy="enter the password again")
        await to_thread.run_sync(self._keep, principal, password, limiter=self._limiter())

    def forget(self, principal: Principal) -> bool:
        """Take it away; whether there was one."""
        had = self.has(principal)
        self._file(principal).unlink(missing_ok=True)
        return had

    async def check(self, principal: Principal, password: str) -> bool:
        """Whether it is the principal's."""
        return await to_thread.run_sync(self._check, principal, password[: CHARS_MAX + 1], limiter=self._limiter())

    def _limiter(self) -> CapacityLimiter:
        if self._hashing is None:
            self._hashing = CapacityLimiter(_AT_ONCE)
        return self._hashing

    def _file(self, principal: Principal) -> Path:
        # A principal's name has no slash, and the kind before it leaves no name that begins with a dot.
        return self._folder / f"{principal.replace(':', '-', 1)}.json"

    def _keep(self, principal: Principal, password: str) -> None:
        salt = secrets.token_bytes(_SALT)
        found = _derive(password, salt, _COST, _BLOCKS, _LANES)
        record = {
            "algorithm": "scrypt",
            "n": _COST,
            "r": _BLOCKS,
            "p": _LANES,
            "salt": base64.b64encode(salt).decode(),
            "verifier": base64.b64encode(found).decode(),
        }
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._file(principal), json.dumps(record))

    def _check(self, principal: Principal, password: str) -> bool:
        try:
            record = cast("dict[str, Any]", json.loads(self._file(principal).read_text()))
            salt, verifier = base64.b64decode(record["salt"]), base64.b64decode(record["verifier"])
            cost, blocks, lanes = int(record["n"]), int(record["r"]), int(record["p"])
            known = record["algorithm"] == "scrypt" and 1 < cost <= _COST_MAX and len(verifier) == _BYTES
        except FileNotFoundError:
            known = False
            salt, verifier, cost, blocks, lanes = bytes(_SALT), bytes(_BYTES), _COST, _BLOCKS, _LANES
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Invalid(
                f"the password file of {principal} cannot be read: {error}", remedy="set the password again"
            ) from error
        # Derived also where nothing is kept, so that the time tells nothing.
        found = _derive(password, salt, cost if known else _COST, blocks, lanes)
        return hmac.compare_digest(found, verifier) and known


def _derive(password: str, salt: bytes, cost: int, blocks: int, lanes: int) -> bytes:
    memory = 128 * blocks * (cost + lanes + 2) + 1024 * 1024
    raw = password.encode("utf-8", errors="surrogatepass")
    return hashlib.scrypt(raw, salt=salt, n=cost, r=blocks, p=lanes, maxmem=memory, dklen=_BYTES)


def write_private(path: Path, text: str) -> None:
    """Replace the whole file or nothing, mode 0600, on the disk when it returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
