"""Lines for a terminal: who reads them may leave."""

from __future__ import annotations

import io
from argparse import Namespace

import pytest

from oxios.paint import painter


class _Left(io.StringIO):
    """A terminal whose reader is gone."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        raise BrokenPipeError(text)


@pytest.mark.parametrize("no_color", [True, False])
def test_a_reader_that_left_is_an_error_of_the_command_not_the_end_of_the_process(
    no_color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain or coloured: BrokenPipeError, where rich alone would end the process; a server carries commands too."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    paint = painter(Namespace(no_color=no_color), _Left())
    with pytest.raises(BrokenPipeError):
        paint((("hello", "strong"),))
