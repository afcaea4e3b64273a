"""Lines of an input that is no terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from oxios.keyboard import Lines, OwnKeys

pytestmark = pytest.mark.anyio


def _nothing(_folder: Path) -> int:
    return os.open(os.devnull, os.O_RDONLY)


def _file(folder: Path) -> int:
    (folder / "lines").write_text("one\ntwo")
    return os.open(folder / "lines", os.O_RDONLY)


def _pipe(_folder: Path) -> int:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo")
    os.close(writing)
    return reading


@pytest.mark.parametrize(("opened", "held"), [(_nothing, []), (_file, ["one", "two"]), (_pipe, ["one", "two"])])
async def test_whatever_stdin_is_its_lines_come_and_then_its_end(
    opened: Callable[[Path], int], held: list[str], tmp_path: Path
) -> None:
    """Also of what the event loop cannot watch, as /dev/null."""
    descriptor = opened(tmp_path)
    try:
        lines = Lines(OwnKeys(descriptor), interactive=False)
        assert [await lines.next() for _ in range(len(held) + 1)] == [*held, None]
    finally:
        os.close(descriptor)
