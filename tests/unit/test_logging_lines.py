"""What a log line holds, what it never holds, and what it costs where nobody logs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from kernel.log import Line, bind, get_logger, install
from kernel.observe.logging import configure_logging
from kernel.settings import load_settings
from kernel.testing.clock import FakeClock

NOON_US = 1_800_014_400_123_456
SECRET = "0af3-moon-4711-value"

Start = Callable[..., io.StringIO]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    undo: list[Callable[[], None]] = []

    def configure(level: str = "info", *, as_json: bool = True, env: dict[str, str] | None = None) -> io.StringIO:
        overrides = {
            "log.level": level,
            "log.json": str(as_json),
            "providers.p.base_url": "http://h/v1",
            "providers.p.key_env": "ODD_NAME",
        }
        settings = load_settings(cwd=tmp_path, env={"HOME": "/h"}, home=tmp_path, overrides=overrides)
        stream = io.StringIO()
        undo.append(configure_logging(settings, FakeClock(NOON_US), env or {}, stream=stream))
        return stream

    yield configure
    for one in reversed(undo):
        one()


LOG = get_logger("room")


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_time_level_room_event_and_fields(start: Start) -> None:
    """One object a line; the time is the clock's, in UTC; a field cannot pose as one of the line's own."""
    stream = start()
    LOG.info("disk_full", free_bytes=7, path=Path("/x"), level_="ü", logger="forged")
    assert _lines(stream) == [
        {
            "timestamp": "2027-01-15T12:00:00.123Z",
            "level": "info",
            "logger": "room",
            "event": "disk_full",
            "free_bytes": 7,
            "path": "PosixPath('/x')",
            "level_": "ü",
            "logger_": "forged",
        }
    ]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_lines_below_the_level_are_not_written(start: Start, level: str) -> None:
    """Each level lets itself and what is graver pass, and nothing else."""
    stream = start(level)
    levels = ["debug", "info", "warning", "error"]
    for one in levels:
        getattr(LOG, one)("e")
    assert [line["level"] for line in _lines(stream)] == levels[levels.index(level) :]


def test_a_person_reads_text(start: Start) -> None:
    """Without JSON: the event and its fields on one line, no colour codes where it is no terminal."""
    stream = start(as_json=False)
    LOG.warning("disk_full", free_bytes=7)
    (line,) = stream.getvalue().splitlines()
    assert "disk_full" in line
    assert "free_bytes=7" in line
    assert "\x1b" not in line


def test_bound_ids_follow_the_task_and_its_children(start: Start) -> None:
    """Two runs at once keep their own run and trace ids; after the block they are gone."""
    stream = start()

    async def child() -> None:
        LOG.info("child")

    async def run(name: str) -> None:
        with bind(run=name, trace=f"t{name}"):
            await anyio.lowlevel.checkpoint()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child)
            with bind(call=f"{name}.1"):
                LOG.info("inner")
        LOG.info("after")

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, "a")
            tasks.start_soon(run, "b")

    anyio.run(both)
    seen = {(line["event"], line.get("run"), line.get("trace"), line.get("call")) for line in _lines(stream)}
    assert seen == {
        ("child", "a", "ta", None),
        ("child", "b", "tb", None),
        ("inner", "a", "ta", "a.1"),
        ("inner", "b", "tb", "b.1"),
        ("after", None, None, None),
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_never_written(start: Start, as_json: bool) -> None:
    """Values the settings name as keys, fields named like secrets, known forms, and locals in tracebacks."""
    stream = start("debug", as_json=as_json, env={"ODD_NAME": SECRET, "OTHER_TOKEN": "tok-98765-abcdef"})
    LOG.info("sent", header=f"x {SECRET} y", api_key="abc", nested={"k": ["tok-98765-abcdef"]})
    LOG.info(SECRET)
    LOG.info("form", text="use sk-abcdefghijklmnopqrstuvwxyz012345", url="https://u:hunter2hunter2@h/")

    def fail() -> None:
        hidden_local = "value-local"[::-1]
        raise ValueError(f"key {SECRET} refused", len(hidden_local))

    try:
        fail()
    except ValueError:
        LOG.exception("refused")
    text = stream.getvalue()
    for secret in (SECRET, "abc", "tok-98765", "sk-abcdef", "hunter2", "lacol-eulav"):
        assert secret not in text
    assert "ValueError" in text
    assert "[redacted" in text
    assert "[hidden]" in text


def test_counts_of_tokens_are_not_secrets(start: Start) -> None:
    """A number is shown whatever its field is called."""
    stream = start()
    LOG.info("usage", token=5, tokens_max=7)
    assert (_lines(stream)[0]["token"], _lines(stream)[0]["tokens_max"]) == (5, 7)


def test_an_exception_carries_its_traceback(start: Start) -> None:
    """`exception` inside a handler writes the error with its type and place."""
    stream = start("error")
    try:
        {}["missing"]
    except KeyError:
        LOG.exception("lost", call="r.1")
    (line,) = _lines(stream)
    assert line["call"] == "r.1"
    assert "KeyError: 'missing'" in str(line["exception"])


def test_before_anything_is_installed_warnings_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """A process that set nothing up still sees what is wrong, and nothing less."""
    LOG.info("quiet")
    LOG.warning("loud", n=1)
    assert capsys.readouterr().err == "warning: room: loud n=1\n"


def test_install_can_be_undone() -> None:
    """The sink and the level before come back."""
    seen: list[Line] = []
    undo = install(seen.append, "debug")
    LOG.debug("one")
    undo()
    LOG.debug("two")
    assert [line.event for line in seen] == ["one"]


def test_a_quiet_process_never_imports_structlog() -> None:
    """Configuring costs no structlog; the first line that passes the level does."""
    code = (
        "import sys, os, io\n"
        "from kernel.clock import SystemClock\n"
        "from kernel.log import get_logger\n"
        "from kernel.observe.logging import configure_logging\n"
        "from kernel.settings import load_settings\n"
        "configure_logging(load_settings(env={'HOME': '/h'}), SystemClock(), {}, stream=io.StringIO())\n"
        "get_logger('x').info('quiet')\n"
        "before = 'structlog' in sys.modules\n"
        "get_logger('x').warning('loud')\n"
        "print(before, 'structlog' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False True\n"
