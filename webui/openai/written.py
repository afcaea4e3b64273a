"""What of an answer went out while it was written, and what of the recorded reply is still to follow.

Guarantees: passages (the texts of a run's replies) stand apart by a blank line, and begin with a word. Of the
recorded reply follows only what was not sent yet: nothing where what was sent is it or ends in it, its end where
what was sent is its beginning, else the whole of it, after a blank line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

BLANK: Final = "\n\n"


@dataclass(slots=True)
class Written:
    """One answer as it was sent so far."""

    text: str = ""
    _begins: list[int] = field(default_factory=list[int])
    """Where each passage does."""
    _apart: bool = True
    """What comes next is a passage of its own."""

    def passage(self) -> None:
        """What is added from now on stands apart from what was."""
        self._apart = True

    def add(self, text: str) -> str:
        """What is to be sent for it: with what parts it from the passage before; empty where there is no word yet."""
        if self._apart:
            text = text.lstrip()
            if not text:
                return ""
            text = self._gap() + text
            self._begins.append(len(self.text) + len(self._gap()))
            self._apart = False
        self.text += text
        return text

    def reply_begins(self, reply: str) -> int | None:
        """Where the passages begin that are the reply, or its beginning; None where none are."""
        return next((start for start in self._begins if reply.startswith(self.text[start:].rstrip())), None)

    def rest(self, reply: str) -> str:
        """What of the reply is still to be sent."""
        start = self.reply_begins(reply)
        if start is not None:
            return reply[len(self.text[start:].rstrip()) :]
        return self._gap() + reply if reply else ""

    def _gap(self) -> str:
        return BLANK[min(len(BLANK), len(self.text) - len(self.text.rstrip("\n"))) :] if self.text else ""
