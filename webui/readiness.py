"""Whether what work needs is there: the journal takes entries, the sandbox starts programs.

Guarantees: however often it is asked, the sandbox is tried once in PROBE_S at most.
"""

from __future__ import annotations

from typing import Final

import anyio

from kernel.boot import Kernel

PROBE_S: Final = 30.0
PROBE_WAIT_S: Final = 10.0


class Readiness:
    """What work needs, looked at no more often than it costs little."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._turn = anyio.Lock()
        self._sandbox = False
        self._looked_s: float | None = None

    async def checks(self) -> dict[str, bool]:
        return {"journal": self._kernel.journal.writable, "sandbox": await self._sandbox_works()}

    async def _sandbox_works(self) -> bool:
        async with self._turn:
            now_s = self._kernel.clock.monotonic_s()
            if self._looked_s is None or now_s - self._looked_s >= PROBE_S:
                self._sandbox = False
                with anyio.move_on_after(PROBE_WAIT_S):
                    self._sandbox = (await self._kernel.sandbox.probe()).works
                self._looked_s = now_s
        return self._sandbox
