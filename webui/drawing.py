"""Elements of a transcript as HTML: what their templates may ask for.

Guarantees: an element is drawn the same for everybody who may see it; nothing in it is a secret of a
browser (tokens stand in the frame).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio.lowlevel

from kernel.boot import Kernel
from kernel.errors import NotFound
from kernel.ids import CapId, RunId
from ouroboros.session import Session
from webui.asker import WebAsker
from webui.items import CallItem, Item
from webui.templates import Views
from webui.toolview import Change, change_of

_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Drawing:
    """`session` is the conversation that the elements stand in; None in a run's own page."""

    kernel: Kernel
    asker: WebAsker
    views: Views
    session: Session | None = None
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Of capabilities that may be gone by now: what each was for."""
    may: bool = True
    """Whether who looks may answer and undo: else no button says so."""

    def draw(self, items: Iterable[Item]) -> str:
        """HTML of elements, each with its id."""
        return "\n".join(
            self.views.render("chat/item.html", item=item, kind=type(item).__name__, room=self) for item in items
        )

    async def draw_slowly(self, items: Sequence[Item]) -> str:
        """The same of many, with others let in between."""
        drawn: list[str] = []
        for start in range(0, len(items), _AT_ONCE):
            drawn.append(self.draw(items[start : start + _AT_ONCE]))
            await anyio.lowlevel.checkpoint()
        return "\n".join(drawn)

    def question(self, item: CallItem) -> str:
        """What the agent asks a person in this call; empty where it waits for nobody."""
        if item.tool != "ask_user" or item.ended:
            return ""
        waiting = self.asker.waiting(RunId(item.run))
        return waiting.question if waiting else ""

    def capability(self, capability: str) -> str:
        """What a capability is for; its id where nobody knows any more."""
        if capability not in self.names:
            try:
                held = self.kernel.capabilities.get(CapId(capability))
            except NotFound:
                return capability
            self.names[capability] = f"{held.resource} {held.rights.letters()}"
        return self.names[capability]

    def change(self, item: CallItem) -> Change | None:
        """What the call's arguments put into a file, and in place of what; None where it changes none."""
        return change_of(item.tool, item.args)
