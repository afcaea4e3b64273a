"""Lines of styled pieces, painted with rich on a terminal and plainly everywhere else.

Guarantees: nothing is painted over a question that stands on the terminal; it follows the answer.
Text that came from a model, a tool or a file cannot move the cursor, set colours or forge a line:
what is not printable is shown as its escape. rich is imported for a terminal only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final, Literal, TypeAlias

from oxios.curtain import Curtain
from oxios.frame import colour_wanted, environment

if TYPE_CHECKING:
    from rich.console import Console

Style: TypeAlias = Literal["", "dim", "good", "bad", "warn", "strong"]
Piece: TypeAlias = tuple[str, Style]
Paint: TypeAlias = Callable[[tuple[Piece, ...]], None]

_RICH: Final[dict[Style, str]] = {
    "": "",
    "dim": "dim",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "strong": "bold",
}


def painter(args: argparse.Namespace, stream: IO[str]) -> Paint:
    """A call that writes one line to `stream`; behind the curtain of this command, where it has one."""
    paint = _styled(_console(stream)) if colour_wanted(args, stream) else _plain(stream)
    curtain: Curtain | None = getattr(args, "curtain", None)
    if curtain is None:
        return paint
    return lambda pieces: curtain.show(lambda: paint(pieces))


def one_line(text: str, chars_max: int) -> str:
    """`text` on one line of at most `chars_max` characters, harmless to a terminal."""
    joined = " ".join(text.split())
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in joined)
    return shown if len(shown) <= chars_max else shown[: chars_max - 1] + "…"


def harmless(text: str) -> str:
    """`text` with its lines kept and everything else that steers a terminal shown as its escape."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def _plain(stream: IO[str]) -> Paint:
    def paint(pieces: tuple[Piece, ...]) -> None:
        stream.write("".join(text for text, _ in pieces) + "\n")
        stream.flush()

    return paint


def _console(stream: IO[str]) -> Console:
    from rich.console import Console  # noqa: PLC0415 -- 60 ms, for a terminal only

    class Told(Console):
        """Whoever reads it may leave: that is the command's to end by, not rich's to end the process with."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Told(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True, _environ=environment())


def _styled(console: Console) -> Paint:
    from rich.text import Text  # noqa: PLC0415 -- as above

    def paint(pieces: tuple[Piece, ...]) -> None:
        console.print(Text.assemble(*((text, _RICH[style]) for text, style in pieces)))

    return paint
