"""What a stream's model requests cost, as a fold over their receipts.

Guarantees: the total is a function of the entries alone, and equals what the ledger counted for
them: model.reply and model.failed say what was settled, and a request of which only model.reserved
was recorded (the process died in it) counts in full, since nobody knows what it cost. A run, a
session and the ledger after a restart all read this one fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kernel.gate.request import Cost
from kernel.jsontypes import JsonObject

RESERVED: Final = "model.reserved"
RECEIPTS: Final = frozenset({"model.reply", "model.failed"})
SPENDS: Final = frozenset({"model.request", RESERVED, *RECEIPTS})
"""The kinds that `Spending.apply` reads."""
NOTHING: Final = Cost(calls=0)


@dataclass(slots=True)
class Spending:
    """Tokens and micro-dollars. Only `apply` changes it."""

    settled: Cost = NOTHING
    under_way: dict[str, Cost] = field(default_factory=dict[str, Cost])
    """What is reserved, by the call whose request it is; a run has one at a time."""

    def apply(self, kind: str, payload: JsonObject) -> None:
        """Fold one entry in; kinds that spend nothing change nothing."""
        if kind not in SPENDS:
            return
        call = str(payload.get("call", ""))
        before = self.under_way.pop(call, NOTHING)
        if kind in RECEIPTS:
            self.settled = self.settled.plus(_cost(payload))
            return
        self.settled = self.settled.plus(before)  # It never ended: the process died in it.
        if kind == RESERVED:
            self.under_way[call] = _cost(payload)

    @property
    def total(self) -> Cost:
        """Settled, and what is under way or was when the record ended."""
        found = self.settled
        for one in self.under_way.values():
            found = found.plus(one)
        return found


def _cost(payload: Mapping[str, Any]) -> Cost:
    """What an entry says was reserved or settled; older replies say their usage alone."""
    usage = payload.get("usage", {})
    tokens = payload.get("tokens", usage.get("in", 0) + usage.get("out", 0))
    return Cost(tokens=tokens, calls=0, micro_usd=payload.get("micro_usd", 0))
