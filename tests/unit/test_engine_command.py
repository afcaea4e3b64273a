"""`oxios models`: the list, the statistics of a real journal, and keys that are never shown."""

from __future__ import annotations

import io
import json
import sys
import types
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from kernel.clock import SystemClock
from kernel.ids import Principal
from kernel.journal.entry import Draft
from kernel.journal.log import open_journal
from kernel.settings import load_settings
from kernel.settings.edit import set_value
from kernel.storage import make_store
from kernel.testing.model_server import model_server
from oxios.__main__ import main

SECRET = "sk-" + "a1b2c3d4e5f6"
CONFIG = """
[model]
default = "openai/gpt-4o"
[providers.openai]
base_url = "https://api.openai.com/v1"
[providers.local]
base_url = "http://127.0.0.1:9/v1"
key_env = "LOCAL_TEST_KEY"
[routing]
fallbacks = ["local/llama"]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(CONFIG)
    (home / "config.toml").chmod(0o600)
    monkeypatch.setenv("OXIOS_HOME", str(home))
    for name in ("OPENAI_API_KEY", "LLM_API_KEY", "LOCAL_TEST_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return home


@pytest.mark.usefixtures("home")
def test_the_list_shows_what_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    """Context, price and where it comes from; unknown is said; the catalog's date stands below."""
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr()
    lines = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert lines["openai/gpt-4o"] == ["128000", "8192", "2.5", "10", "1.25", "catalog"]
    assert lines["local/llama"] == ["128000", "8192", "?", "?", "?", "unknown"]
    assert lines["embedded/planner"][-1] == "embedded"
    assert "genai-prices" in shown.err
    assert main(["models", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["default"] is True
    assert found["models"][0]["price"]["input_micro_usd"] == 2_500_000
    assert found["catalog"]["newest"] > "2025-01-01"


@pytest.mark.usefixtures("home")
def test_the_list_of_a_provider_is_the_catalogs(capsys: pytest.CaptureFixture[str]) -> None:
    """Every model that the vendor sells; an unknown provider is named with those there are."""
    assert main(["models", "list", "--provider", "openai", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) > 20
    assert main(["models", "list", "--provider", "opnai"]) == 2
    assert "local, openai" in capsys.readouterr().err


def test_the_list_of_a_server_is_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A provider that the catalog does not know is asked; one that does not answer is said to be so."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(model_server()) as server,
    ):
        set_value(home, "providers.mine.base_url", server.url, {})
        assert main(["models", "list", "--provider", "mine"]) == 0
        assert "mine/scripted-1" in capsys.readouterr().out
    assert main(["models", "list", "--provider", "mine"]) == 0
    assert "cannot be reached" in capsys.readouterr().err


def test_statistics_are_counted_from_the_journal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Calls, failures, cost, what the best model alone would have cost, fallbacks and breakers."""
    agent = Principal("agent:r1")

    async def write() -> None:
        async with open_journal(make_store(load_settings()), home, SystemClock(), {}) as journal:
            failed = {"model": "local/llama", "class": "server", "key": "env:K", "code": "provider_down"}
            for _ in range(5):
                journal.append(Draft(agent, "r1", "model.failed", failed))
            moved = {"from": "local/llama", "to": "openai/gpt-4o", "reason": "server: 500"}
            journal.append(Draft(agent, "r1", "model.fallback", moved))
            usage = {"in": 1_000_000, "out": 0, "cached": 0}
            answer = {"model": "openai/gpt-4o", "ms": 40, "usage": usage, "micro_usd": 2_500_000}
            await journal.append(Draft(agent, "r1", "model.reply", answer))

    anyio.run(write)
    assert main(["models", "stats", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one["calls"] for one in shown["models"]] == [5, 1]
    assert shown["models"][0]["failures"] == {"server": 5}
    assert shown["best_single"] == {"model": "openai/gpt-4o", "micro_usd": 2_500_000}
    assert shown["fallbacks"][0]["reason"] == "server: 500"
    assert shown["breakers"][0]["failures"] == 5
    assert main(["models", "stats"]) == 0
    text = capsys.readouterr().out
    assert "the best single model: openai/gpt-4o, which would have cost 2.5 $" in text
    assert "fallback: r1: local/llama → openai/gpt-4o: server: 500 (20" in text
    assert "at most" not in text
    assert "no price is known of local/llama: set providers.NAME.input_usd_per_mtok" in text
    assert "breaker: local/llama env:K: open, 5 failures in a row" in text


@pytest.mark.usefixtures("home")
def test_without_a_journal_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to count, and the exit code says so."""
    assert main(["models", "stats"]) == 8
    assert capsys.readouterr().err.startswith("error: ")


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_key_is_kept_listed_and_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From standard input into the encrypted file; listed by its source; no output and no file has its value."""
    give(monkeypatch, f"{SECRET}\n")
    assert main(["models", "key", "set", "openai"]) == 0
    assert main(["models", "key", "list"]) == 0
    assert main(["models", "key", "list", "--json"]) == 0
    shown = capsys.readouterr()
    assert "openai: file#1" in shown.out
    assert "local: none: LOCAL_TEST_KEY is not set" in shown.out
    assert SECRET not in shown.out + shown.err
    assert all(SECRET.encode() not in path.read_bytes() for path in (home / "keys").iterdir())
    assert main(["models", "key", "remove", "openai", "--number", "2"]) == 2
    assert main(["models", "key", "remove", "openai"]) == 0
    assert main(["models", "key", "remove", "openai"]) == 2


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("provider", "text"), [("opnai", SECRET), ("openai", ""), ("openai", "two words é\n")])
def test_a_key_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], provider: str, text: str
) -> None:
    """An unknown provider, nothing, and what no header can carry; the value is not repeated."""
    give(monkeypatch, text)
    assert main(["models", "key", "set", provider]) == 2
    said = capsys.readouterr().err
    assert not text.strip() or text.strip() not in said


class _KeyringError(Exception):
    pass


def _fake_keyring(monkeypatch: pytest.MonkeyPatch, broken: type[Exception] | None = None) -> dict[tuple[str, str], str]:
    kept: dict[tuple[str, str], str] = {}

    def check() -> None:
        if broken is not None:
            raise broken("no backend")

    def put(service: str, name: str, value: str) -> None:
        check()
        kept[service, name] = value

    def get(service: str, name: str) -> str | None:
        check()
        return kept.get((service, name))

    def drop(service: str, name: str) -> None:
        check()
        del kept[service, name]

    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = _KeyringError  # pyright: ignore[reportAttributeAccessIssue] -- a stand-in module
    module = types.ModuleType("keyring")
    module.__dict__.update(set_password=put, get_password=get, delete_password=drop, errors=errors)
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    return kept


@pytest.mark.usefixtures("home")
def test_the_systems_keyring_is_used_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept there with --keyring, found once routing.keyring is true, and removed from there."""
    kept = _fake_keyring(monkeypatch)
    give(monkeypatch, f"{SECRET}\n")
    assert main(["models", "key", "set", "openai", "--keyring"]) == 0
    assert kept == {("oxios", "openai"): SECRET}
    assert "routing.keyring" in capsys.readouterr().err
    assert main(["models", "key", "list"]) == 0
    assert "keyring" not in capsys.readouterr().out
    assert main(["--set", "routing.keyring=true", "models", "key", "list"]) == 0
    assert "openai: keyring" in capsys.readouterr().out
    assert main(["models", "key", "remove", "openai", "--keyring"]) == 0
    assert main(["models", "key", "remove", "openai", "--keyring"]) == 2
    assert kept == {}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("broken", [_KeyringError, ModuleNotFoundError, PermissionError])
def test_a_keyring_that_does_not_work_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: type[Exception]
) -> None:
    """Storing fails with what to do; looking finds nothing and goes on to the file."""
    _fake_keyring(monkeypatch, broken)
    give(monkeypatch, f"{SECRET}\n")
    assert main(["models", "key", "set", "openai", "--keyring"]) == 8
    assert "no backend" in capsys.readouterr().err
    give(monkeypatch, f"{SECRET}\n")
    assert main(["models", "key", "set", "openai"]) == 0
    assert main(["--set", "routing.keyring=true", "models", "key", "list"]) == 0
    assert "openai: file#1" in capsys.readouterr().out
