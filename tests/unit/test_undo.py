"""`undo`: an agent's change of a file, taken back from its record."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from pathlib import Path

import pytest

from kernel.errors import AccessDenied, Conflict, Invalid, NotFound
from kernel.handle.undo import undo
from kernel.ids import Digest, Principal
from kernel.journal.appender import Appender
from kernel.journal.entry import Draft, Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.syscalls.declare import AnySyscall, Services, ToolResult
from kernel.tools.edit import edit
from kernel.tools.files import read, write
from tests.unit.tool_world import RUN, ToolWorld

pytestmark = pytest.mark.anyio


class Kept:
    """Entries and blobs, in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.blobs: dict[str, bytes] = {}

    def append(self, draft: Draft) -> Awaitable[Entry]:
        entry = Entry(len(self.entries) + 1, 0, draft.principal, draft.stream, draft.kind, Digest("0"), draft.payload)
        self.entries.append(entry)
        self.blobs.update({hashlib.sha256(blob).hexdigest(): blob for blob in draft.blobs})

        async def durable() -> Entry:
            return entry

        return durable()

    async def read(self, *, stream: str, kind: str, after: int = 0) -> list[Entry]:
        return [one for one in self.entries if one.stream == stream and one.kind == kind and one.seq > after][:2]

    async def blob(self, digest: str) -> bytes:
        if digest not in self.blobs:
            raise NotFound("erased")
        return self.blobs[digest]


class Recorded(ToolWorld):
    """A world whose calls leave the intents that the dispatcher writes."""

    def __init__(self, place: Path) -> None:
        self.kept = Kept()
        super().__init__(place, Services((Appender, self.kept)))

    async def act(self, tool: AnySyscall, **arguments: JsonValue) -> str:
        """Call a tool with its intent recorded; returns the call's id."""
        found = await self.compute(tool, **arguments)
        call = f"{RUN}.{self.calls}"
        payload: dict[str, JsonValue] = {"call": call, "tool": tool.name, "effect": tool.effect.value}
        blobs: tuple[bytes, ...] = ()
        if not isinstance(found, ToolResult):
            payload["mark"], blobs = found.mark, found.blobs
        await self.kept.append(Draft(Principal("agent:r1"), RUN, "call.intent", payload, blobs))
        if not isinstance(found, ToolResult):
            await found.apply()
        return call

    async def undo(self, call: str, path: str) -> str:
        return await self.act(undo, call=call, path=str(self.workspace / path))

    def undone(self) -> list[JsonObject | None]:
        return [entry.payload for entry in self.kept.entries if entry.kind == "call.undone"]


@pytest.fixture
def world(tmp_path: Path) -> Recorded:
    """A workspace with one file."""
    (tmp_path / "a.txt").write_text("old\n")
    (tmp_path / "a.txt").chmod(0o640)
    return Recorded(tmp_path)


def tree(place: Path) -> dict[str, str | None]:
    """Every path with its content; None for directories."""
    return {
        str(path.relative_to(place)): path.read_text() if path.is_file() else None for path in sorted(place.rglob("*"))
    }


async def test_an_overwritten_file_is_restored_with_its_mode(world: Recorded) -> None:
    """Content and permission bits are what they were; the record names both calls."""
    call = await world.act(write, path="a.txt", content="new\n")
    by = await world.undo(call, "a.txt")
    assert tree(world.workspace) == {"a.txt": "old\n"}
    assert (world.workspace / "a.txt").stat().st_mode & 0o777 == 0o640
    assert world.undone() == [{"call": call, "by": by}]


async def test_a_new_file_is_removed_with_the_directories_made_for_it(world: Recorded) -> None:
    """The tree is as before; a directory that holds something else by now stays."""
    first = await world.act(write, path="x/y/1", content="1")
    second = await world.act(write, path="x/2", content="2")
    await world.undo(first, "x/y/1")
    assert tree(world.workspace) == {"a.txt": "old\n", "x": None, "x/2": "2"}
    await world.undo(second, "x/2")
    assert tree(world.workspace) == {"a.txt": "old\n", "x": None}


async def test_several_changes_of_one_file_are_undone_newest_first(world: Recorded) -> None:
    """The older is refused while the newer stands; in order, all are taken back."""
    older = await world.act(edit, path="a.txt", old="old", new="middle")
    newer = await world.act(edit, path="a.txt", old="middle", new="new")
    with pytest.raises(Conflict, match="changed since"):
        await world.undo(older, "a.txt")
    await world.undo(newer, "a.txt")
    await world.undo(older, "a.txt")
    assert tree(world.workspace) == {"a.txt": "old\n"}


@pytest.mark.parametrize("theirs", ["edited by a person\n", None])
async def test_a_file_that_changed_since_is_left_alone(world: Recorded, theirs: str | None) -> None:
    """Changed or removed by somebody: refused, nothing is written, nothing is recorded as undone."""
    call = await world.act(write, path="a.txt", content="new\n")
    if theirs is None:
        (world.workspace / "a.txt").unlink()
    else:
        (world.workspace / "a.txt").write_text(theirs)
    before = tree(world.workspace)
    with pytest.raises(Conflict, match="changed since"):
        await world.undo(call, "a.txt")
    assert tree(world.workspace) == before
    assert world.undone() == []


async def test_a_call_is_undone_once(world: Recorded) -> None:
    """The second time it says by which call it was undone."""
    call = await world.act(write, path="a.txt", content="new\n")
    by = await world.undo(call, "a.txt")
    with pytest.raises(Conflict, match=f"undone already, by {by}"):
        await world.undo(call, "a.txt")


async def test_an_undo_can_be_undone(world: Recorded) -> None:
    """The change comes back, also where the undo removed a file and its directories."""
    call = await world.act(write, path="x/1", content="1")
    by = await world.undo(call, "x/1")
    assert tree(world.workspace) == {"a.txt": "old\n"}
    await world.undo(by, "x/1")
    assert tree(world.workspace) == {"a.txt": "old\n", "x": None, "x/1": "1"}


async def test_a_change_that_never_happened_has_nothing_to_undo(world: Recorded) -> None:
    """An intent whose effect was lost in a crash is told apart from a change by others."""
    change = await world.change(write, path="a.txt", content="new\n")
    payload: JsonObject = {"call": "r1.1", "tool": "write", "effect": "write", "mark": change.mark}
    await world.kept.append(Draft(Principal("agent:r1"), RUN, "call.intent", payload, change.blobs))
    with pytest.raises(Conflict, match="already is as it was"):
        await world.undo("r1.1", "a.txt")


async def test_what_was_no_write_is_refused_by_name(world: Recorded) -> None:
    """The answer says what the call was; an unknown call and no call id are told as such."""
    call = await world.act(read, path="a.txt")
    with pytest.raises(Invalid, match="was read, whose effect is read"):
        await world.undo(call, "a.txt")
    with pytest.raises(NotFound, match="no call"):
        await world.undo("r1.99", "a.txt")
    with pytest.raises(Invalid, match="not a call id"):
        await world.undo("nonsense", "a.txt")


async def test_only_the_file_of_the_record_is_written(world: Recorded) -> None:
    """The path that the gate allowed must be the one that the call changed, in the workspace."""
    (world.workspace / "b.txt").write_text("new\n")
    call = await world.act(write, path="a.txt", content="new\n")
    with pytest.raises(Conflict, match="not the file"):
        await world.undo(call, "b.txt")
    with pytest.raises(AccessDenied):
        await world.undo(call, "../a.txt")
    assert tree(world.workspace) == {"a.txt": "new\n", "b.txt": "new\n"}


async def test_a_pre_image_that_was_erased_cannot_be_restored(world: Recorded) -> None:
    """It is an error, and the file stays."""
    call = await world.act(write, path="a.txt", content="new\n")
    world.kept.blobs.clear()
    with pytest.raises(NotFound):
        await world.undo(call, "a.txt")
    assert tree(world.workspace) == {"a.txt": "new\n"}
