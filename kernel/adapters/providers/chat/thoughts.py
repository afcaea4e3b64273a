"""Thoughts that stand in the text: servers that do not parse them leave `<think>…</think>` before the answer.

Guarantees: only a text that begins with the tag is split; every character but the tags, and the blank
ones around them, is given exactly once, however the text was cut; nothing is held back but what may
still become a tag. A tag that is never closed makes all of it thoughts, as where the length limit met it.
"""

from __future__ import annotations

from typing import Final

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


class Thoughts:
    """Feed it the text as it comes; it gives (thoughts, text). `done` once all that follows is text."""

    def __init__(self) -> None:
        self.done = False
        self._held = ""
        self._inside = False
        self._closed = False

    def feed(self, text: str) -> tuple[str, str]:
        self._held += text
        thought = ""
        if not (self._inside or self._closed):
            begun = self._held.lstrip()
            if _OPEN.startswith(begun[: len(_OPEN)]) and len(begun) < len(_OPEN):
                return "", ""
            self._inside = begun.startswith(_OPEN)
            if not self._inside:
                return "", self.rest()[1]
            self._held = begun.removeprefix(_OPEN)
        if self._inside:
            thought, closed, after = self._held.partition(_CLOSE)
            if not closed:
                kept = _beginning_at_end(thought)
                thought, self._held = thought[: len(thought) - kept], thought[len(thought) - kept :]
                return thought, ""
            self._inside, self._closed, self._held = False, True, after
        self._held = self._held.lstrip()
        return thought, self.rest()[1] if self._held else ""

    def rest(self) -> tuple[str, str]:
        """What was held back, since nothing follows that could make it a tag."""
        held, self._held = self._held, ""
        if self._inside:
            return held, ""
        self.done = True
        return "", held


def _beginning_at_end(text: str) -> int:
    """How many characters at the end of `text` may begin the closing tag."""
    lengths = range(min(len(text), len(_CLOSE) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(_CLOSE[:length])), 0)
