"""`oxios doctor` and `oxios tools`: each finding from both sides, and what the commands print."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from kernel.journal.lock import instance_lock
from kernel.settings.tree import ProviderSettings, SandboxSettings, SandboxTier, SearchSettings, Settings
from oxios import checkup
from oxios.__main__ import main


class Usage(NamedTuple):
    """What `shutil.disk_usage` answers."""

    total: int
    used: int
    free: int


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults, with a home that exists."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Settings(home)


def test_a_home_that_is_missing_is_said_and_made_by_the_fix(tmp_path: Path) -> None:
    """Before: a warning. After the fix: a private directory."""
    settings = Settings(tmp_path / "home")
    assert checkup.home(settings).status == "warn"
    assert not settings.home.exists()
    assert checkup.mend(settings) == [f"made {settings.home}"]
    assert settings.home.stat().st_mode & 0o777 == 0o700
    assert checkup.home(settings).status == "ok"


@pytest.mark.parametrize("name", ["", "keys", "keys/journal.key", "journal/oxios.db"])
def test_what_is_open_to_others_fails_and_is_closed_by_the_fix(settings: Settings, name: str) -> None:
    """The home, its key directory, a key, the journal; a public key may be public."""
    for folder in ("keys", "journal"):
        (settings.home / folder).mkdir(mode=0o700)
    for file in ("keys/journal.key", "keys/journal.pub", "journal/oxios.db"):
        (settings.home / file).touch(mode=0o644 if file.endswith(".pub") else 0o600)
    assert checkup.modes(settings).status == "ok"
    place = settings.home / name
    place.chmod(place.stat().st_mode | 0o044)
    found = checkup.modes(settings)
    assert found.status == "fail"
    assert str(place) in found.detail
    checkup.mend(settings)
    assert checkup.modes(settings).status == "ok"
    assert (settings.home / "keys/journal.pub").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (checkup.DISK_WARN_BYTES, "ok"),
        (checkup.DISK_WARN_BYTES - 1, "warn"),
        (checkup.DISK_FAIL_BYTES, "warn"),
        (checkup.DISK_FAIL_BYTES - 1, "fail"),
    ],
)
def test_disk_space_is_judged_at_its_bounds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    """Enough, little, too little; of a home that does not exist yet, its parent's disk."""

    def usage(_place: Path) -> Usage:
        return Usage(free, 0, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert checkup.disk(settings).status == status
    assert checkup.disk(replace(settings, home=settings.home / "not/there")).status == status


def test_a_home_in_use_is_told_with_its_holder(settings: Settings) -> None:
    """That is no fault."""
    assert "nobody" in checkup.lock(settings).detail
    with instance_lock(settings.home):
        found = checkup.lock(settings)
    assert (found.status, "process" in found.detail) == ("ok", True)
    assert "nobody" in checkup.lock(settings).detail


def test_a_journal_that_is_not_there_yet_is_no_fault_and_a_broken_one_is(settings: Settings) -> None:
    """A head that points to nothing is named."""
    assert checkup.journal(settings).status == "ok"
    (settings.home / "journal").mkdir()
    (settings.home / "journal/head").write_bytes(b"nonsense")
    assert checkup.journal(settings).status == "fail"


@pytest.mark.anyio
@pytest.mark.parametrize(("tier", "status"), [("bubblewrap", "ok"), ("none", "warn")])
async def test_the_tier_in_force_is_shown_with_the_reason(settings: Settings, tier: SandboxTier, status: str) -> None:
    """A process is really started in it."""
    found = await checkup.sandbox(replace(settings, sandbox=SandboxSettings(tier)))
    assert found.status == status
    assert f"tier {tier}: " in found.detail


@pytest.mark.anyio
async def test_a_sandbox_that_cannot_run_fails_with_its_remedy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without bubblewrap the way to install it is shown."""
    monkeypatch.setenv("PATH", "/nowhere")
    found = await checkup.sandbox(settings)
    assert found.status == "fail"
    assert "`exec` is refused" in found.detail
    assert "apt-get install bubblewrap" in found.remedy


@pytest.mark.anyio
async def test_a_provider_is_reached_for_but_not_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key must be there and its address must answer; the embedded one needs neither."""
    monkeypatch.delenv("TEST_MODEL_KEY", raising=False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        said = ProviderSettings("openai", f"http://127.0.0.1:{port}/v1", "TEST_MODEL_KEY")
        one = replace(settings, providers={"p": said, "e": ProviderSettings("embedded")})
        assert (await checkup.provider(one, "e")).status == "ok"
        assert "TEST_MODEL_KEY is empty" in (await checkup.provider(one, "p")).detail
        monkeypatch.setenv("TEST_MODEL_KEY", "k")
        assert (await checkup.provider(one, "p")).status == "ok"
    assert "cannot be reached" in (await checkup.provider(one, "p")).detail


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (SearchSettings(), "ok"),
        (SearchSettings("searxng"), "fail"),
        (SearchSettings("searxng", "https://h"), "ok"),
        (SearchSettings("brave", key_env="NOT_SET_ANYWHERE"), "fail"),
    ],
)
def test_the_search_settings_are_judged(settings: Settings, said: SearchSettings, status: str) -> None:
    """None is fine; half of one is not."""
    assert checkup.search(replace(settings, search=said)).status == status


def test_the_doctor_prints_json_and_exits_by_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 where nothing failed, 1 where something did, and the data says which."""
    home = tmp_path / "home"
    assert main(["--home", str(home), "doctor", "--fix", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert {check["name"] for check in found["checks"]} >= {"python", "home", "journal", "sandbox", "disk"}
    home.chmod(0o755)
    assert main(["--home", str(home), "doctor"]) == 1
    assert "fail  modes: open to others" in capsys.readouterr().out


def test_tools_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each; one in full with its claims and arguments; all as JSON."""
    assert main(["tools"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:4] == ["exec", "external", "privileged", "on_demand"] for line in lines)
    assert not any(line.startswith("undo ") for line in lines)
    assert main(["tools", "edit"]) == 0
    assert "claims    file <path> [rw]" in capsys.readouterr().out
    assert main(["tools", "--all", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["undo"]["claims"] == ["kernel:undo [w]", "file <path> [w]"]
    assert found["read"]["schema"]["required"] == ["path"]
    assert main(["tools", "reed"]) == 2
    assert "did you mean read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (None, "ok", "none yet"),
        ("p, agent, tool/*, *\n", "ok", "1 rules"),
        ("nonsense\n", "fail", "line 1 begins with 'nonsense'; every call is refused"),
    ],
)
def test_a_policy_that_cannot_be_obeyed_fails(settings: Settings, text: str | None, status: str, said: str) -> None:
    """The gate refuses every call under a wrong policy file, so the check reads it as strictly."""
    if text is not None:
        (settings.home / "policy.csv").write_text(text, encoding="utf-8")
    found = checkup.policy(settings)
    assert found.status == status
    assert said in found.detail
