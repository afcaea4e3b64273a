"""Who is asked: the person at the terminal of the command that started the run, and the page; else the page alone.

Guarantees: an approval of a command's run stands in the page's inbox and on its terminal at once, and
the first answer counts. A command without a terminal is asked as it would be without a server: there
is nobody.
"""

from __future__ import annotations

import anyio

from kernel.errors import OxiosError
from kernel.gate.asker import Answer, Asker
from kernel.gate.decision import Question
from kernel.ids import ApprovalId, RunId
from oxios.seat import current


class HouseAsker:
    """Implements `kernel.gate.asker.Asker`. `page` listens always."""

    def __init__(self, page: Asker) -> None:
        self._page = page

    @property
    def listening(self) -> bool:
        seat = current()
        return self._page.listening if seat is None else seat.asker.listening

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:
        """Cancelled by the caller when the page answered, or the time is up."""
        seat = current()
        if seat is not None and seat.asker.listening:
            return await seat.asker.approve(approval, run, question, wait_s)
        return await self._page.approve(approval, run, question, wait_s)

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        """Raises: Unavailable, where a command without a terminal asks; what the terminal's asker raises."""
        seat = current()
        if seat is None:
            return await self._page.ask(run, question, choices)
        if not seat.asker.listening:
            return await seat.asker.ask(run, question, choices)
        return await self._first(seat.asker, run, question, choices)

    async def _first(self, terminal: Asker, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        said: list[str] = []
        refused: list[OxiosError] = []
        async with anyio.create_task_group() as group:

            async def from_page() -> None:
                said.append(await self._page.ask(run, question, choices))
                group.cancel_scope.cancel()

            async def from_terminal() -> None:
                try:
                    said.append(await terminal.ask(run, question, choices))
                except OxiosError as error:
                    refused.append(error)
                group.cancel_scope.cancel()

            group.start_soon(from_page)
            group.start_soon(from_terminal)
        if said:
            return said[0]
        raise refused[0]
