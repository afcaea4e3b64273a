"""One journal record, before and after it is committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kernel.ids import Digest, Principal
from kernel.jsontypes import JsonObject, JsonValue

SYSTEM_STREAM: Final = "kernel"
"""The stream of what belongs to no run: boot, capabilities, configuration, keys."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a caller asks to append. `kind` is `noun.verb_past`, e.g. `call.intent`.

    `blobs` are stored by digest in the same transaction; the payload names them by digest.
    """

    principal: Principal
    stream: str
    kind: str
    payload: JsonObject
    blobs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed record. `payload` is None where it was erased; `digest` still stands."""

    seq: int
    time_us: int
    principal: Principal
    stream: str
    kind: str
    digest: Digest
    payload: JsonObject | None

    def json(self) -> dict[str, JsonValue]:
        """As surfaces show it; the fields are stable."""
        return {
            "seq": self.seq,
            "time_us": self.time_us,
            "principal": self.principal,
            "stream": self.stream,
            "kind": self.kind,
            "digest": self.digest,
            "payload": self.payload,
        }


Subscriber = Callable[[tuple[Entry, ...]], None]
"""Called on the event loop with each committed batch, in order; must not block or raise."""
