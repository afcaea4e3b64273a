"""What is painted while a question stands on the terminal."""

from __future__ import annotations

import argparse
import io
import sys

import pytest

from oxios.curtain import HELD_LINES_MAX, Curtain
from oxios.frame import say
from oxios.paint import painter


def _shown(text: str) -> list[str]:
    return text.splitlines()


def test_lines_wait_for_the_answer_and_keep_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Painted lines and talk are held back while the curtain is drawn, and follow in order once it opens."""
    stream, curtain = io.StringIO(), Curtain()
    args = argparse.Namespace(no_color=True, quiet=False, curtain=curtain)
    paint = painter(args, stream)
    paint((("before", ""),))
    curtain.draw()
    paint((("one", ""),))
    say("two", args)
    assert (stream.getvalue(), capsys.readouterr().err) == ("before\n", "")
    curtain.open()
    paint((("after", ""),))
    assert _shown(stream.getvalue()) == ["before", "one", "after"]
    assert capsys.readouterr().err == "two\n"


@pytest.mark.parametrize(("lines", "lost"), [(HELD_LINES_MAX, 0), (HELD_LINES_MAX + 2, 2)])
def test_what_is_held_is_bounded(lines: int, lost: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest HELD_LINES_MAX lines are kept; what fell out is counted, and said once."""
    curtain = Curtain()
    paint = painter(argparse.Namespace(no_color=True, curtain=curtain), sys.stderr)
    curtain.draw()
    for number in range(lines):
        paint(((str(number), ""),))
    curtain.open()
    shown = _shown(capsys.readouterr().err)
    assert shown[-HELD_LINES_MAX:] == [str(number) for number in range(lost, lines)]
    assert shown[:-HELD_LINES_MAX] == ([f"  … {lost} lines are left out here"] if lost else [])
    curtain.draw()
    curtain.open()
    assert not capsys.readouterr().err
