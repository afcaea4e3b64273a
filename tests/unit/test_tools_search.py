"""`find` and `grep`."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from kernel.clock import SystemClock
from kernel.errors import Invalid
from kernel.gate.paths import wall_off
from kernel.tools.search import PER_FILE_MAX, find, grep
from kernel.tools.walk import SEARCH_S, Stop, glob_matches, in_worker
from tests.unit.tool_world import ToolWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> ToolWorld:
    """A small tree with a hidden directory, a dependency directory and a link."""
    for path, text in {
        "src/a.py": "import os\n\ndef needle():\n    return os\n",
        "src/deep/b.py": "NEEDLE = 1\n",
        "src/c.txt": "nothing here\n",
        ".git/config": "needle\n",
        "node_modules/x/index.js": "needle\n",
        "bin.dat": "needle\0\n",
    }.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tmp_path / "link").symlink_to("src")
    return ToolWorld(tmp_path)


async def test_find_by_name_looks_at_every_depth(world: ToolWorld) -> None:
    """A glob without a slash is compared with names; hidden and dependency directories are left out and told."""
    text = (await world.call(find, pattern="*.py")).text
    assert text.splitlines() == [
        "src/a.py",
        "src/deep/b.py",
        "[left out .git, node_modules (everything=true looks there too)]",
    ]


async def test_find_everything_enters_hidden_directories(world: ToolWorld) -> None:
    """Asked for, nothing is left out, and links are still not followed."""
    text = (await world.call(find, pattern="*", everything=True, kind="file")).text
    assert ".git/config" in text
    assert "node_modules/x/index.js" in text
    assert "link/" not in text


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.py", "a/b/c.py", True),
        ("a/*.py", "a/b/c.py", False),
        ("a/**/*.py", "a/b/c.py", True),
        ("a/**/*.py", "a/c.py", True),
        ("**/c.py", "c.py", True),
        ("a/**", "a/b/c.py", True),
        ("a/**", "b/a/c.py", False),
        ("./a/b/c.p?", "a/b/c.py", True),
        ("*.PY", "a/b/c.py", False),
    ],
)
def test_globs_mean_what_they_say(pattern: str, path: str, fits: bool) -> None:
    """Names without a slash, whole paths with one, `**` for any number of directories."""
    assert glob_matches(pattern, path) is fits


def test_a_hostile_glob_ends() -> None:
    """Stars upon stars cost no more than pattern times path."""
    assert not glob_matches("/".join(["**", "a*a*a*a*a*a*b"] * 20), "/".join(["a" * 200] * 60))


async def test_find_is_bounded_and_says_so(world: ToolWorld) -> None:
    """With as many found as the limit nothing is said; with one more, that there are more."""
    assert "more than" not in (await world.call(find, pattern="*.py", limit=2)).text
    assert "more than 1 found" in (await world.call(find, pattern="*.py", limit=1)).text


async def test_grep_tells_file_line_and_text(world: ToolWorld) -> None:
    """Matches of text files only, in the order of names."""
    result = await world.call(grep, pattern="needle")
    assert result.text.splitlines()[0] == "src/a.py:3: def needle():"
    assert result.data == {"matches": 1, "files": 1, "searched": 3}


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({"pattern": "needle", "ignore_case": True}, ["src/a.py:3: def needle():", "src/deep/b.py:1: NEEDLE = 1"]),
        ({"pattern": "needle", "fixed": True, "ignore_case": True, "glob": "b.*"}, ["src/deep/b.py:1: NEEDLE = 1"]),
        ({"pattern": "needle()", "fixed": True}, ["src/a.py:3: def needle():"]),
        ({"pattern": "^import \\w+$"}, ["src/a.py:1: import os"]),
        ({"pattern": "os$", "path": "src/a.py"}, ["src/a.py:1: import os", "src/a.py:4:     return os"]),
        ({"pattern": "absent"}, ["nothing found"]),
    ],
)
async def test_grep_matches_lines(world: ToolWorld, arguments: dict[str, str], lines: list[str]) -> None:
    """Regular expressions, plain text, either case, one file, a glob."""
    text = (await world.call(grep, **arguments)).text
    assert [line for line in text.splitlines() if not line.startswith("[")] == lines


async def test_grep_shows_context_once(world: ToolWorld) -> None:
    """Lines around matches are marked with a dash, overlapping contexts are shown once."""
    (world.workspace / "n").write_text("1\n2 x\n3\n4 x\n5\n6\n7\n8 x\n")
    text = (await world.call(grep, pattern="x", path="n", context=1)).text
    assert text.splitlines() == [
        *("n-1- 1", "n:2: 2 x", "n-3- 3", "n:4: 4 x", "n-5- 5"),
        *("--", "n-7- 7", "n:8: 8 x"),
    ]


async def test_grep_of_crlf_lines_anchors_at_their_text(world: ToolWorld) -> None:
    """`$` is the end of the line's text, not its carriage return."""
    (world.workspace / "n").write_bytes(b"one\r\ntwo\r\n")
    assert (await world.call(grep, pattern="one$", path="n")).text == "n:1: one"


async def test_grep_bounds_matches_and_says_so(world: ToolWorld) -> None:
    """The limit over all files and the one per file cut, and each cut is told."""
    (world.workspace / "many").write_text("x\n" * (PER_FILE_MAX + 1))
    exact = await world.call(grep, pattern="x", path="many", limit=PER_FILE_MAX)
    assert exact.data["matches"] == PER_FILE_MAX
    cut = await world.call(grep, pattern="x", path="many", limit=1_000)
    assert f"more than {PER_FILE_MAX} matching lines" in cut.text
    few = await world.call(grep, pattern="x", path="many", limit=2)
    assert "more than 2 lines match" in few.text


async def test_a_pattern_that_explodes_elsewhere_ends_here(world: ToolWorld) -> None:
    """Nested repetition over a line that almost matches is answered at once."""
    (world.workspace / "evil").write_text("a" * 50_000 + "!\n")
    with anyio.fail_after(5):
        assert (await world.call(grep, pattern="(a+)+$", path="evil")).text == "nothing found"


@pytest.mark.parametrize("pattern", ["(?=a)b", "(a)\\1", "[", "(a{1000}){1000}"])
async def test_patterns_that_are_not_linear_are_refused_in_words(world: ToolWorld, pattern: str) -> None:
    """Look-around, back-references, broken brackets and huge repetition are errors, not hangs."""
    with pytest.raises(Invalid, match="not a usable pattern"):
        await world.call(grep, pattern=pattern)


async def test_long_lines_are_cut_and_say_how_long_they_are(world: ToolWorld) -> None:
    """A minified line does not fill the answer."""
    (world.workspace / "n").write_text("x" * 5_000)
    text = (await world.call(grep, pattern="x", path="n")).text
    assert len(text) < 400
    assert "[5000 characters]" in text


async def test_a_walled_off_directory_is_never_entered(world: ToolWorld) -> None:
    """What the gate walled off inside the workspace is not found, not searched, and counted as unread."""
    home = world.workspace / "home"
    home.mkdir()
    (home / "key.txt").write_text("needle\n")
    wall_off(str(home))
    result = await world.call(grep, pattern="needle", everything=True)
    assert "key.txt" not in result.text
    assert "1 directories could not be read" in result.text
    assert "key.txt" not in (await world.call(find, pattern="*.txt")).text


async def test_a_search_stops_when_its_time_is_up() -> None:
    """The job is told to stop, by time, and what it has is returned."""

    class Leaping(SystemClock):
        seconds = 0.0

        def monotonic_s(self) -> float:
            self.seconds += SEARCH_S * 0.6
            return self.seconds

    def job(stop: Stop) -> int:
        looks = 0
        while not stop():
            looks += 1
        return looks

    assert await in_worker(job, Leaping()) == 1


async def test_a_cancelled_search_ends_its_thread() -> None:
    """Cancelling the caller makes `stop` true, so the thread does not search on."""
    started, ended = threading.Event(), threading.Event()

    def job(stop: Stop) -> None:
        started.set()
        while not stop():
            threading.Event().wait(0.001)
        ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(in_worker, job, SystemClock())
        await anyio.to_thread.run_sync(started.wait, 5)
        group.cancel_scope.cancel()
    assert ended.wait(5)
