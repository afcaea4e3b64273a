"""A draft before a person: shown, then taken, edited, or dropped.

Guarantees: nothing is carried out that was not accepted; a text that the editor left wrong is said and
edited again, never half taken.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from kernel.errors import Invalid, OxiosError
from ouroboros.crystallize import editable, edited, shown
from ouroboros.seed import SeedSpec
from oxios.frame import say
from oxios.keyboard import Lines
from oxios.paint import harmless, one_line
from oxios.seat import current

_SHOWN_CHARS = 40
_YES = frozenset({"", "y", "yes"})
_NO = frozenset({"n", "no", "q"})
_EDIT = frozenset({"e", "edit"})


@dataclass(slots=True)
class TerminalPerson:
    """Implements `ouroboros.phases.Person`; `next_line` is None at the end of input."""

    lines: Lines
    next_line: Callable[[], Awaitable[str | None]]

    async def confirm(self, draft: SeedSpec) -> SeedSpec | None:
        say(harmless(shown(draft)))
        while True:
            say("carry this out? [Y]es / [n]o / [e]dit")
            said = await self.next_line()
            word = (said if said is not None else "n").strip().lower()
            if word in _YES:
                return draft
            if word in _NO:
                return None
            if word in _EDIT:
                draft = await self._edited(draft)
                say(harmless(shown(draft)))
            else:
                say(f"{one_line(word, _SHOWN_CHARS)!r} is none of them: answer y, n or e")

    async def _edited(self, draft: SeedSpec) -> SeedSpec:
        """The draft as the editor left it; unchanged where that is no draft."""
        text, suffix = editable(draft)
        try:
            return edited(await self._in_editor(text, suffix), suffix)
        except OxiosError as error:
            say(f"not taken over: {error.explain()}")
            return draft

    async def _in_editor(self, text: str, suffix: str) -> str:
        """Raises: Invalid, where there is no editor or it failed."""
        seat = current()
        if seat is not None:
            return await seat.edit(text, suffix)
        self.lines.let_go()
        try:
            return await in_editor(text, suffix)
        finally:
            self.lines.take_back()


async def in_editor(text: str, suffix: str) -> str:
    """`text` as the editor of this process' terminal left it. Raises: Invalid, where there is none or it failed."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not editor:
        raise Invalid("no editor is set", remedy="set EDITOR, e.g. export EDITOR=nano")
    with tempfile.TemporaryDirectory(prefix="oxios-") as folder:
        path = Path(folder, f"draft{suffix}")
        path.write_text(text, encoding="utf-8")  # noqa: ASYNC240 -- a few kilobytes, while a person waits for the editor
        try:
            async with await anyio.open_process([*editor, str(path)], stdin=None, stdout=None, stderr=None) as done:
                code = await done.wait()
        except OSError as error:
            raise Invalid(f"{editor[0]} cannot be started: {error.strerror}", remedy="set EDITOR") from error
        if code:
            raise Invalid(f"{editor[0]} ended with exit code {code}", remedy="edit again, or answer yes or no")
        return path.read_text(encoding="utf-8")  # noqa: ASYNC240 -- as above
