"""`read`, `write` and `ls`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernel.errors import AccessDenied, Conflict, Invalid, LimitExceeded, NotFound
from kernel.ids import Digest
from kernel.limits import FILE_BYTES_MAX, MODEL_RESULT_BYTES_MAX
from kernel.syscalls.declare import ToolResult
from kernel.tools.change import FileChange, change_state
from kernel.tools.files import LS_ENTRIES_MAX, ls, read, write
from kernel.tools.place import Place
from kernel.tools.text import page_of
from tests.unit.tool_world import ToolWorld

pytestmark = pytest.mark.anyio


def names(folder: Path) -> list[str]:
    """What a directory holds."""
    return sorted(entry.name for entry in folder.iterdir())


async def test_read_returns_the_text_as_it_stands(tmp_path: Path) -> None:
    """A small file comes back byte for byte, with no note."""
    (tmp_path / "a.txt").write_bytes("één\ntwo\r\nthree".encode())
    assert (await ToolWorld(tmp_path).call(read, path="a.txt")).text == "één\ntwo\r\nthree"


@pytest.mark.parametrize("told", [0, 3, 100])
async def test_read_returns_all_of_a_file_whose_size_is_told_wrongly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    """A file that grew since it was looked at, or that tells no size, is read to its end."""
    (tmp_path / "a.txt").write_text("all of it")

    def fstat(_handle: int) -> os.stat_result:
        return os.stat_result((0o100644, 1, 1, 1, 0, 0, told, 0, 0, 0))

    with monkeypatch.context() as patch:
        patch.setattr("kernel.tools.place.os.fstat", fstat)
        assert (await ToolWorld(tmp_path).call(read, path="a.txt")).text == "all of it"


async def test_read_of_lines_says_how_to_go_on(tmp_path: Path) -> None:
    """A part names its lines and the next offset; the last part names no next one."""
    (tmp_path / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    world = ToolWorld(tmp_path)
    first = (await world.call(read, path="a.txt", limit=4)).text
    assert first == "line 1\nline 2\nline 3\nline 4\n[lines 1 to 4 of 10; go on with offset=5]\n"
    last = (await world.call(read, path="a.txt", offset=9)).text
    assert last == "line 9\nline 10\n[lines 9 to 10 of 10]\n"


async def test_read_pages_join_to_the_whole_file(tmp_path: Path) -> None:
    """Reading on from each told offset loses nothing and repeats nothing, and every page fits the model's bound."""
    whole = "".join(f"{n} {'x' * (n % 90)} ü\n" for n in range(3_000))
    (tmp_path / "a.txt").write_text(whole)
    world, offset, parts = ToolWorld(tmp_path), 1, list[str]()
    while offset:
        text = (await world.call(read, path="a.txt", offset=offset)).text
        assert len(text.encode()) <= MODEL_RESULT_BYTES_MAX
        body, _, note = text.rpartition("[lines")
        parts.append(body)
        offset = int(note.partition("offset=")[2].rstrip("]\n") or 0)
    assert "".join(parts) == whole


async def test_one_long_line_is_cut_between_characters_and_that_is_said(tmp_path: Path) -> None:
    """A line that fits nowhere is shown in part, without half a character."""
    (tmp_path / "a.txt").write_text("ü" * 100_000)
    text = (await ToolWorld(tmp_path).call(read, path="a.txt")).text
    assert "longer than fits" in text
    assert "\ufffd" not in text
    assert len(text.encode()) <= MODEL_RESULT_BYTES_MAX


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\x89PNG\r\n\x1a\n....", "PNG image"), (b"ab\0cd", "binary data"), (b"", "is empty"), (b"%PDF-1.4", "a PDF")],
)
async def test_read_says_what_is_no_text(tmp_path: Path, content: bytes, said: str) -> None:
    """Binary and empty files are told, not shown."""
    (tmp_path / "a").write_bytes(content)
    assert said in (await ToolWorld(tmp_path).call(read, path="a")).text


async def test_bytes_that_are_not_utf8_are_shown_and_said(tmp_path: Path) -> None:
    """Latin-1 text can be read, with a note that some bytes are shown otherwise."""
    (tmp_path / "a").write_bytes(b"caf\xe9\n")
    text = (await ToolWorld(tmp_path).call(read, path="a")).text
    assert text.startswith("caf\ufffd\n")
    assert "not UTF-8" in text


@pytest.mark.parametrize(("offset", "fits"), [(3, True), (4, False)])
async def test_an_offset_past_the_end_is_an_error_that_names_the_lines(tmp_path: Path, offset: int, fits: bool) -> None:
    """The last line can be asked for; the one after it cannot."""
    (tmp_path / "a").write_text("1\n2\n3\n")
    world = ToolWorld(tmp_path)
    if fits:
        assert (await world.call(read, path="a", offset=offset)).text.startswith("3\n")
    else:
        with pytest.raises(Invalid, match="has 3 lines"):
            await world.call(read, path="a", offset=offset)


@pytest.mark.parametrize(("size", "fits"), [(FILE_BYTES_MAX, True), (FILE_BYTES_MAX + 1, False)])
async def test_a_file_is_read_up_to_its_bound(tmp_path: Path, size: int, fits: bool) -> None:
    """A file of the bound is read; one byte more is refused with a remedy."""
    with (tmp_path / "a").open("wb") as file:
        file.truncate(size)
    world = ToolWorld(tmp_path)
    if fits:
        assert "binary" in (await world.call(read, path="a")).text
    else:
        with pytest.raises(LimitExceeded) as refused:
            await world.call(read, path="a")
        assert "exec" in refused.value.remedy


@pytest.mark.parametrize("path", ["nothing", "sub", "../outside", "link"])
async def test_read_refuses_what_is_no_file_of_the_workspace(tmp_path: Path, path: str) -> None:
    """Missing files, directories, parents and links that lead out are refused."""
    workspace = tmp_path / "w"
    (workspace / "sub").mkdir(parents=True)
    (tmp_path / "outside").write_text("secret")
    (workspace / "link").symlink_to(tmp_path / "outside")
    with pytest.raises((NotFound, Invalid, AccessDenied)):
        await ToolWorld(workspace).call(read, path=path)


async def test_write_makes_directories_and_says_what_it_wrote(tmp_path: Path) -> None:
    """A file in directories that are not there is written, with its size and lines told."""
    result = await ToolWorld(tmp_path).call(write, path="a/b/c.txt", content="één\ntwo")
    assert (tmp_path / "a/b/c.txt").read_text() == "één\ntwo"
    assert result.text == "wrote a/b/c.txt: 9 bytes, 2 lines"


async def test_write_does_nothing_until_its_change_is_applied(tmp_path: Path) -> None:
    """The body computes; nothing is on disk, directories included, before `apply`."""
    change = await ToolWorld(tmp_path).change(write, path="a/b.txt", content="x")
    assert names(tmp_path) == []
    assert isinstance(change, FileChange)
    assert change.dirs == ("a",)
    await change.apply()
    assert (tmp_path / "a/b.txt").read_text() == "x"


async def test_write_keeps_the_pre_image_and_the_permission_bits(tmp_path: Path) -> None:
    """An executable script stays executable; what it held is the change's one blob."""
    script = tmp_path / "run.sh"
    script.write_text("old")
    script.chmod(0o750)
    change = await ToolWorld(tmp_path).change(write, path="run.sh", content="new")
    assert change.blobs == (b"old",)
    await change.apply()
    assert script.stat().st_mode & 0o777 == 0o750
    assert script.read_text() == "new"


@pytest.mark.parametrize("path", [".", "sub", "../x", "/etc/passwd"])
async def test_write_refuses_what_is_no_place_for_a_file(tmp_path: Path, path: str) -> None:
    """The workspace itself, a directory and what lies outside are refused."""
    workspace = tmp_path / "w"
    (workspace / "sub").mkdir(parents=True)
    with pytest.raises((Invalid, AccessDenied)):
        await ToolWorld(workspace).call(write, path=path, content="x")


async def test_a_write_over_what_changed_meanwhile_is_a_conflict(tmp_path: Path) -> None:
    """The file that appeared, changed or vanished after the look is left as it is."""
    world = ToolWorld(tmp_path)
    for before, now in ((None, "theirs"), ("mine", "theirs"), ("mine", None)):
        place = tmp_path / f"{before}-{now}"
        if before is not None:
            place.write_text(before)
        change = await world.change(write, path=place.name, content="new")
        if now is None:
            place.unlink()
        else:
            place.write_text(now)
        with pytest.raises(Conflict):
            await change.apply()
        assert (place.read_text() if place.exists() else None) == now
    assert not [name for name in names(tmp_path) if name.startswith(".oxios")]


async def test_a_conflict_removes_the_directories_it_made(tmp_path: Path) -> None:
    """A write that fails leaves no empty directories behind."""
    place = Place(str(tmp_path), "a/b/c")
    with pytest.raises(Conflict):
        place.put(b"x", before=Digest("0" * 64), mode=None)
    assert names(tmp_path) == []


async def test_a_leftover_of_a_crash_is_taken_over(tmp_path: Path) -> None:
    """The same write again finds the temporary file of the one that died, and leaves none."""
    place = Place(str(tmp_path), "a")
    place.put(b"new", None, None)
    temporary = _temporary_names(tmp_path, place)[0]
    (tmp_path / "a").unlink()
    (tmp_path / temporary).write_text("half")
    place.put(b"new", None, None)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "new"


def _temporary_names(folder: Path, place: Place) -> list[str]:
    """Which temporary name a write of `new` uses: the one it removes at its end."""
    (folder / "a").unlink()
    seen: list[str] = []
    real = os.unlink

    def unlink(path: str, *, dir_fd: int | None = None) -> None:
        seen.append(path)
        real(path, dir_fd=dir_fd)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kernel.tools.place.os.unlink", unlink)
        place.put(b"new", None, None)
    return seen


async def test_a_full_disk_is_an_error_in_words_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the sync fails, the file is as it was and no temporary file stays."""
    (tmp_path / "a").write_text("old")
    change = await ToolWorld(tmp_path).change(write, path="a", content="new")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kernel.tools.place.os.fsync", full)
    with pytest.raises(Invalid, match="No space left"):
        await change.apply()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


async def test_the_mark_tells_whether_a_write_happened(tmp_path: Path) -> None:
    """Before it is pending, after it applied, and after another change foreign."""
    world = ToolWorld(tmp_path)
    change = await world.change(write, path="a", content="new")
    assert isinstance(change, FileChange)
    mounts = (*(await world.prepared(ls))[0].mounts,)
    assert change_state(change.mark, mounts) == "pending"
    await change.apply()
    assert change_state(change.mark, mounts) == "applied"
    (tmp_path / "a").write_text("other")
    assert change_state(change.mark, mounts) == "foreign"
    assert change_state(change.mark, ()) == "foreign"


async def test_ls_shows_names_sizes_and_links_in_order(tmp_path: Path) -> None:
    """Directories end in a slash, files have a size, links their goal, odd names are escaped."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "b.txt").write_text("12345")
    (tmp_path / "a\nb").write_text("")
    (tmp_path / "link").symlink_to("b.txt")
    os.mkfifo(tmp_path / "pipe")
    text = (await ToolWorld(tmp_path).call(ls)).text
    assert text.splitlines() == ["a\\nb  0", "b.txt  5", "dir/", "link -> b.txt", "pipe  (special)"]


async def test_ls_of_a_file_and_of_an_empty_directory(tmp_path: Path) -> None:
    """Both are answers, not errors."""
    (tmp_path / "a").write_text("123")
    (tmp_path / "empty").mkdir()
    world = ToolWorld(tmp_path)
    assert (await world.call(ls, path="a")).text == "a  3 bytes"
    assert (await world.call(ls, path="empty")).text == "empty is empty"


@pytest.mark.parametrize(("count", "cut"), [(LS_ENTRIES_MAX, False), (LS_ENTRIES_MAX + 1, True)])
async def test_ls_is_bounded_and_says_so(tmp_path: Path, count: int, cut: bool) -> None:
    """One entry more than the bound is counted, not listed."""
    for number in range(count):
        (tmp_path / f"{number:05}").touch()
    result = await ToolWorld(tmp_path).call(ls)
    assert ("[1 more;" in result.text) is cut
    assert result.data["entries"] == count


@pytest.mark.parametrize("text", ["", "a", "a\n", "\n", "a\nb", "a\u2028b\x0cc\n", "a\r\nb\r\n"])
def test_a_page_counts_lines_by_line_feeds_alone(text: str) -> None:
    """Line numbers are those of editors and grep, whatever other separators a file holds."""
    page = page_of(text, 1, 100)
    assert page.text == text
    assert page.total == text.count("\n") + (not text.endswith("\n") and bool(text))


async def test_a_result_of_a_write_is_no_change_of_the_journalled_words(tmp_path: Path) -> None:
    """Content is in the call's arguments only: neither mark nor result repeats it."""
    change = await ToolWorld(tmp_path).change(write, path="a", content="needle")
    assert isinstance(change, FileChange)
    assert "needle" not in str(change.mark)
    assert "needle" not in str(await change.apply() or ToolResult(""))
