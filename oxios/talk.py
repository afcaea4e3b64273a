"""What a chat shows: the phases and steps on stderr, the agent's words on stdout as they come.

Guarantees: a reply that was shown as it came is not shown again; with stdout no terminal, stdout holds
the replies alone, each whole.
"""

from __future__ import annotations

import sys
from argparse import Namespace

from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.runtime.live import LiveEvent, LiveText
from ouroboros.ahead import Ahead
from ouroboros.cycle import TurnResult, review_notes
from oxios.curtain import Curtain
from oxios.paint import Paint, Piece, harmless, painter
from oxios.phases import PhaseView


class Talk:
    """Shows one chat, whichever session it is in."""

    def __init__(self, args: Namespace, curtain: Curtain) -> None:
        self._curtain = curtain
        self._paint = painter(args, sys.stderr)
        self._quiet = bool(args.quiet)
        self._streams = sys.stdout.isatty()
        self._open = False
        """A line of streamed text has no end yet."""
        self._streamed = ""
        self.view = PhaseView(self._painted, "", heard=self._streams)
        self._ahead = Ahead(RunId(""))

    def enter(self, session: RunId) -> None:
        """Show this session from now on."""
        self.view = PhaseView(self._painted, session, heard=self._streams)
        self._ahead = Ahead(session)

    def hear(self, entries: tuple[Entry, ...]) -> None:
        """Committed entries of any stream."""
        for entry in entries:
            self._ahead.entry(entry)
        self.view.hear(entries)

    def event(self, event: LiveEvent) -> None:
        """What happens right now."""
        if isinstance(event, LiveText) and self._streams:
            text = event.text if self.view.shows(event.run) else self._ahead.text(event)
            if text:
                self._curtain.show(lambda: self._write(text))
        elif not self._quiet:
            self.view.event(event)

    def result(self, result: TurnResult) -> None:
        """The reply, or what of it was not shown as it came."""
        text = self._not_shown(result)
        self._end_line()
        self._streamed = ""
        if text:
            self._curtain.show(lambda: print(text, flush=True))
        if result.note and result.status != "done":
            self._painted(((f"{result.status}: {result.note}", "warn"),))
        elif result.note:
            self._painted(((result.note, "dim"),))

    def _not_shown(self, result: TurnResult) -> str:
        if not self._streams:
            return result.response
        notes = review_notes(result.verdict)
        words = harmless(result.response.removesuffix(notes)).strip()
        if words and self._streamed.rstrip().endswith(words):
            return harmless(notes).strip()
        return harmless(result.response)

    def _write(self, text: str) -> None:
        clean = harmless(text)
        sys.stdout.write(clean)
        sys.stdout.flush()
        self._streamed += clean
        self._open = not clean.endswith("\n")

    def _painted(self, pieces: tuple[Piece, ...]) -> None:
        paint: Paint = self._paint
        if not self._quiet:
            self._end_line()
            paint(pieces)

    def _end_line(self) -> None:
        if self._open:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._open = False
