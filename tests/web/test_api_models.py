"""Models by HTTP: how they served, and settings whose file has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.settings.load import Resolved, resolve
from kernel.testing.provider import say
from tests.web.api_world import open_api

pytestmark = pytest.mark.anyio


async def test_how_models_served_is_told_with_what_nobody_reported(tmp_path: Path) -> None:
    """Each figure of the report stands in the answer, for who sees everything."""
    async with open_api(tmp_path, [say("done")]) as api, await api.program() as client:
        made = await client.post("/api/runs", json={"goal": "go", "model": "scripted/model"})
        assert made.status_code < 300, made.text
        await api.kernel.runs.wait(made.json()["run"])
        told = (await client.get("/api/models/stats")).json()
        assert [(one["model"], one["replies"]) for one in told["models"]] == [("scripted/model", 1)]
        assert (told["micro_usd"], told["assumed_micro_usd"]) == (0, 0)
        assert (await client.get("/api/models/routing")).json()["breakers"] == []


async def test_settings_are_shown_as_their_file_has_them_now(tmp_path: Path) -> None:
    """A file that another program changed is in force when a page or a program looks at it."""
    async with open_api(tmp_path) as api, await api.program() as client:
        home = api.kernel.settings.home

        def read() -> Resolved:
            return resolve(home=home, cwd=tmp_path, overrides={}, env={})

        api.kernel.supervisor.desk.watch.read = read
        (home / "config.toml").write_text('[model]\ndefault = "added/m"\n[providers.added]\nbase_url = "http://a/v1"\n')
        shown = (await client.get("/api/models")).json()["items"]
        assert [one["model"] for one in shown if one["default"]] == ["added/m"]
