"""Settings changed through the kernel: checked, journalled, in force where they can be, never over another's edit."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kernel.boot import Kernel, open_kernel
from kernel.errors import AccessDenied, Conflict
from kernel.handle.config import digest_of
from kernel.ids import user
from kernel.settings.load import Resolved, resolve
from kernel.settings.source import SettingsInvalid
from tests.world import OWNER

pytestmark = pytest.mark.anyio
TEXT = "# mine\n[run]\nturns_max = 50 # enough\n\n[sandbox]\nmemory_mb = 512\n"


@asynccontextmanager
async def _opened(root: Path) -> AsyncGenerator[tuple[Kernel, Path]]:
    home = root / "home"
    home.mkdir(mode=0o700)
    file = home / "config.toml"
    file.write_text(TEXT, encoding="utf-8")

    def read() -> Resolved:
        return resolve(home=home, cwd=root, project=False, env={}, overrides={"cycle.score_min": "0.5"})

    async with open_kernel(read().settings, operator=OWNER, reload_settings=read) as kernel:
        yield kernel, file


async def test_live_settings_hold_at_once_and_others_after_a_restart(tmp_path: Path) -> None:
    """Comments stay, flags stay in force, and the journal says who changed what."""
    async with _opened(tmp_path) as (kernel, file):
        changes = {"run.turns_max": "60", "sandbox.memory_mb": "256", "approval.mode": "manual"}
        seen = digest_of(file.read_bytes())
        await kernel.handle(OWNER).call("config.set", {"changes": changes, "digest": seen})
        text = file.read_text(encoding="utf-8")
        assert "# mine" in text
        assert "turns_max = 60 # enough" in text
        assert (kernel.settings.run.turns_max, kernel.settings.approval.mode) == (60, "manual")
        assert kernel.settings.sandbox.memory_mb == 512
        assert kernel.settings.cycle.score_min == 0.5
        entry = (await kernel.journal.read(kind="config.changed"))[-1]
        assert entry.principal == OWNER
        assert entry.payload is not None
        assert entry.payload["changed"] == {
            "run.turns_max": [50, 60],
            "sandbox.memory_mb": [512, 256],
            "approval.mode": ["allow-list", "manual"],
        }
        gone = {"changes": {"run.turns_max": None, "models.a/b.context": None}, "digest": digest_of(file.read_bytes())}
        await kernel.handle(OWNER).call("config.set", gone)
        assert "turns_max" not in file.read_text(encoding="utf-8")


async def test_a_wrong_value_changes_nothing(tmp_path: Path) -> None:
    """All that is wrong is said at once, by key; a whole text is told with its line."""
    async with _opened(tmp_path) as (kernel, file):
        handle, seen = kernel.handle(OWNER), digest_of(file.read_bytes())
        wrong = {"run.turns_max": "0", "no.such": "1", "approval.mode": "auto"}
        with pytest.raises(SettingsInvalid) as told:
            await handle.call("config.set", {"changes": wrong, "digest": seen})
        assert len(told.value.problems) == 2
        with pytest.raises(SettingsInvalid, match="nobody"):
            await handle.call("config.set", {"changes": {"model.default": "nobody/m"}, "digest": seen})
        with pytest.raises(SettingsInvalid, match=r":2: run\.turns_max"):
            await handle.call("config.write", {"text": "[run]\nturns_max = 0\n", "digest": seen})
        with pytest.raises(SettingsInvalid, match="not TOML"):
            await handle.call("config.write", {"text": "[run\n", "digest": seen})
        assert file.read_text(encoding="utf-8") == TEXT
        assert kernel.settings.approval.mode == "allow-list"


async def test_an_edit_of_an_old_text_is_a_conflict(tmp_path: Path) -> None:
    """What somebody wrote meanwhile stays."""
    async with _opened(tmp_path) as (kernel, file):
        seen = digest_of(file.read_bytes())
        file.write_text("# theirs\n", encoding="utf-8")
        for name, more in (("config.set", {"changes": {"run.turns_max": "1"}}), ("config.write", {"text": ""})):
            with pytest.raises(Conflict):
                await kernel.handle(OWNER).call(name, {**more, "digest": seen})
        assert file.read_text(encoding="utf-8") == "# theirs\n"


@pytest.mark.parametrize("role", ["user", "viewer"])
async def test_only_the_operator_changes_settings(tmp_path: Path, role: str) -> None:
    """Nobody else, whatever they may see."""
    async with _opened(tmp_path) as (kernel, file):
        await kernel.handle(OWNER).call("users.create", {"name": "bob", "role": role})
        seen = digest_of(file.read_bytes())
        with pytest.raises(AccessDenied):
            await kernel.handle(user("bob")).call("config.set", {"changes": {"run.turns_max": "1"}, "digest": seen})
        with pytest.raises(AccessDenied):
            await kernel.handle(user("bob")).call("config.write", {"text": "", "digest": seen})
        assert file.read_text(encoding="utf-8") == TEXT
