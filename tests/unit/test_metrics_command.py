"""`oxios metrics` counts a real journal, running kernel or not."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from kernel.clock import SystemClock
from kernel.ids import Principal
from kernel.journal.entry import Draft
from kernel.journal.log import open_journal
from kernel.observe.metrics import METRICS
from kernel.settings import load_settings
from kernel.storage import make_store
from oxios.__main__ import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("OXIOS_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


def test_it_counts_what_stands_in_the_journal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exposition on stdout has the numbers of the entries, also while the journal is open for writing."""

    async def live() -> None:
        settings = load_settings()
        agent = Principal("agent:r1")
        async with open_journal(make_store(settings), home, SystemClock(), {}) as journal:
            for ok in (True, True, False):
                payload = {"call": "r1.1", "tool": "write", "ok": ok, "ms": 5}
                await journal.append(Draft(agent, "r1", "call.outcome", payload))
            assert await anyio.to_thread.run_sync(main, ["metrics"]) == 0

    anyio.run(live)
    during = capsys.readouterr().out
    assert 'oxios_tool_calls_total{outcome="ok",tool="write"} 2.0' in during
    assert 'oxios_tool_errors_total{tool="write"} 1.0' in during
    assert main(["metrics"]) == 0
    assert 'oxios_journal_entries_total{kind="call.outcome"} 3.0' in capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_without_a_journal_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is made in an empty home, and the exit code says that there is nothing to read."""
    assert main(["metrics"]) == 8
    captured = capsys.readouterr()
    assert (captured.out, captured.err.startswith("error: ")) == ("", True)
    assert not list(Path("home").iterdir())


def test_the_list_names_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    """As text and as JSON, each metric with what moves it."""
    assert main(["metrics", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(metric.name in text for metric in METRICS)
    assert main(["metrics", "--list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == [metric.name for metric in METRICS]
