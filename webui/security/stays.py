"""Answers that go on (streams of events), for as long as what opened them opens anything.

Guarantees: when a user is removed or has another role, when a token is revoked or a session has ended, each
answer that goes on for them is ended before anything else is sent on it; nobody else's is.
Does not hear of time: what runs out by itself is asked for with `still`, now and then.

Source: RFC-0016.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from webui.security.visitor import Visitor


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """One answer that goes on."""

    visitor: Visitor
    scope: anyio.CancelScope


class Stays:
    """Of everybody; `still` says whether what a visitor came in with opens the door now."""

    def __init__(self, still: Callable[[Visitor], bool]) -> None:
        self.still = still
        self._stays: set[Stay] = set()

    @contextmanager
    def staying(self, visitor: Visitor, scope: anyio.CancelScope) -> Generator[None]:
        """Inside, `scope` is cancelled as soon as the visitor may not stay."""
        stay = Stay(visitor, scope)
        self._stays.add(stay)
        try:
            self._ask(stay)
            yield
        finally:
            self._stays.discard(stay)

    def ask_all(self) -> None:
        for stay in self._stays:
            self._ask(stay)

    def _ask(self, stay: Stay) -> None:
        if not self.still(stay.visitor):
            stay.scope.cancel()
