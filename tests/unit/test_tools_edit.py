"""`edit`: one passage, found exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.errors import Conflict, Invalid, NotFound
from kernel.limits import FILE_BYTES_MAX
from kernel.tools.edit import edit
from tests.unit.tool_world import ToolWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> ToolWorld:
    """A workspace with one file of three lines."""
    (tmp_path / "a.py").write_text("x = 1\ny = 2\nz = 1\n")
    return ToolWorld(tmp_path)


def held(world: ToolWorld) -> str:
    return (world.workspace / "a.py").read_bytes().decode()


async def test_a_unique_match_is_replaced_and_its_line_told(world: ToolWorld) -> None:
    """The passage that occurs once changes, nothing else does."""
    result = await world.call(edit, path="a.py", old="y = 2", new="y = 3")
    assert held(world) == "x = 1\ny = 3\nz = 1\n"
    assert result.text == "edited a.py: 1 replacement at line 2"


async def test_several_matches_are_refused_with_their_lines(world: ToolWorld) -> None:
    """Nothing changes, and the answer says how often and where."""
    with pytest.raises(Conflict, match=r"occurs 2 times in a\.py, at lines 1, 3"):
        await world.call(edit, path="a.py", old=" = 1", new=" = 9")
    assert held(world) == "x = 1\ny = 2\nz = 1\n"


async def test_replace_all_replaces_every_match(world: ToolWorld) -> None:
    """Asked for, all occurrences change."""
    result = await world.call(edit, path="a.py", old=" = 1", new=" = 9", replace_all=True)
    assert held(world) == "x = 9\ny = 2\nz = 9\n"
    assert "2 replacements" in result.text


async def test_no_match_names_the_line_that_is_close(world: ToolWorld) -> None:
    """Where only spaces differ, that line is shown."""
    with pytest.raises(NotFound, match=r"line 2 is close \(spaces differ\): 'y = 2'"):
        await world.call(edit, path="a.py", old="y  =  2", new="q")


async def test_no_match_at_all_is_said_plainly(world: ToolWorld) -> None:
    """Where nothing is near, nothing is guessed."""
    with pytest.raises(NotFound, match=r"old does not occur in a\.py$"):
        await world.call(edit, path="a.py", old="nothing of the kind", new="q")


async def test_line_ends_of_the_file_are_kept(world: ToolWorld) -> None:
    """In a file of CRLF lines a passage written with LF matches, and the new text gets CRLF."""
    (world.workspace / "a.py").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    await world.call(edit, path="a.py", old="one\ntwo", new="1\n2")
    assert held(world) == "1\r\n2\r\nthree\r\n"


@pytest.mark.parametrize(
    ("content", "why"), [(b"a\0b", "not a text file"), (b"caf\xe9", "not UTF-8"), (b"same", "are the same")]
)
async def test_what_cannot_be_edited_is_refused(world: ToolWorld, content: bytes, why: str) -> None:
    """Binary files, other encodings and a change to the same are errors, and change nothing."""
    (world.workspace / "a.py").write_bytes(content)
    with pytest.raises(Invalid, match=why):
        await world.call(edit, path="a.py", old="same", new="same")
    assert (world.workspace / "a.py").read_bytes() == content


async def test_an_edit_may_not_grow_a_file_beyond_its_bound(world: ToolWorld) -> None:
    """A replacement that makes the file larger than FILE_BYTES_MAX is refused; one that just fits is made."""
    (world.workspace / "a.py").write_bytes(b"ab" * (FILE_BYTES_MAX // 4))
    with pytest.raises(Invalid, match="more than"):
        await world.call(edit, path="a.py", old="a", new="aaaa", replace_all=True)
    await world.call(edit, path="a.py", old="a", new="aaa", replace_all=True)
    assert len(held(world)) == FILE_BYTES_MAX


async def test_an_edit_over_a_file_that_changed_is_a_conflict(world: ToolWorld) -> None:
    """What someone wrote between the look and the change is not lost."""
    change = await world.change(edit, path="a.py", old="y = 2", new="y = 3")
    (world.workspace / "a.py").write_text("theirs")
    with pytest.raises(Conflict):
        await change.apply()
    assert held(world) == "theirs"
