"""One-time links: a code that signs its user in once, soon.

Guarantees: a code works once, for LINK_S, and is kept as its hash, in a file of the home, so that a link made
by a command is known to the server. Redeeming it removes it from the file before anybody is signed in.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from kernel.clock import Clock
from kernel.handle.passwords import write_private
from kernel.ids import Principal

FILE: Final = "web-links.json"
LINK_S: Final = 15 * 60
LINKS_MAX: Final = 100
PATH: Final = "/sign-in"
_CODE_BYTES: Final = 32
_CODE_CHARS_MAX: Final = 128
_MICRO: Final = 1_000_000


class SignInLinks:
    """Those of this home."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._file = home / "keys" / FILE
        self._clock = clock

    def issue(self, principal: Principal) -> str:
        """The path of a link; the code stands in its fragment, which no browser sends."""
        code = secrets.token_urlsafe(_CODE_BYTES)
        with self._locked():
            links = self._read()
            for key in list(links)[: max(0, len(links) - LINKS_MAX + 1)]:
                del links[key]
            links[_hash(code)] = {"principal": principal, "made_us": self._clock.now_us()}
            self._write(links)
        return f"{PATH}#{code}"

    def redeem(self, code: str) -> tuple[Principal, int] | None:
        """Whose link it was, and when it was made; None where the code opens nothing (any more)."""
        if not code or len(code) > _CODE_CHARS_MAX or not self._file.exists():
            return None
        with self._locked():
            links = self._read()
            found = links.pop(_hash(code), None)
            if found is None:
                return None
            self._write(links)
        return Principal(str(found["principal"])), int(found["made_us"])

    def _read(self) -> dict[str, dict[str, Any]]:
        """Those that are still good, oldest first. A file that cannot be read holds none."""
        try:
            links = cast("dict[str, dict[str, Any]]", json.loads(self._file.read_text()))
            oldest_us = self._clock.now_us() - LINK_S * _MICRO
            return {key: one for key, one in links.items() if int(one["made_us"]) >= oldest_us}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _write(self, links: dict[str, dict[str, Any]]) -> None:
        write_private(self._file, json.dumps(links))

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file.with_name(f".{FILE}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _hash(code: str) -> str:
    return sha256(code.encode(errors="replace")).hexdigest()
