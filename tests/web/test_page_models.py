"""The page of models: what there is and how it served, keys by their source alone, each to who may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.async_api import expect

from kernel.directive import Directive, ExecEnv, Mount
from kernel.engine.failures import Failure, FailureClass
from kernel.engine.sources import Key
from kernel.errors import Unavailable
from kernel.testing.provider import say
from tests.web.browser import Site, open_browser, open_site
from tests.web.page_world import looks_right, signed_in
from tests.world import MODEL, OWNER

pytestmark = pytest.mark.anyio
SETTINGS: Final = {
    "providers.acme.base_url": "https://acme.example/v1",
    "providers.acme.key_env": "ACME_KEY",
    "providers.acme.input_usd_per_mtok": "2",
    "providers.acme.output_usd_per_mtok": "8",
    "routing.fallbacks": "acme/small",
    "routing.phases.review": "acme/judge",
    "routing.personas.dev": "acme/dev",
    "models.acme/<b>big</b>.context": "4096",
}


@asynccontextmanager
async def _served(root: Path) -> AsyncGenerator[Site]:
    """A home in which a model answered once, and a key of another rests."""
    async with open_site(root, [say("done"), say("done")], settings=SETTINGS) as site:
        env = ExecEnv(mounts=(Mount(str(site.workspace)),), model=MODEL)
        await site.kernel.runs.wait(await site.kernel.runs.start(Directive("go"), env, owner=OWNER))
        health, now_s = site.kernel.supervisor.desk.engine.health, site.kernel.clock.monotonic_s()
        key = Key("acme", "env:ACME_KEY", "sk-very-secret-value")
        health.begin("acme/small", key, now_s)
        health.failed("acme/small", key, Failure(FailureClass.OVERLOADED, Unavailable("busy")), now_s)
        health.cool(key, Failure(FailureClass.RATE_LIMIT, Unavailable("slow down")), now_s, 60)
        yield site


async def _page(site: Site, name: str) -> httpx.Response:
    async with signed_in(site, name) as client:
        return await client.get("/models")


async def test_an_operator_sees_models_routes_service_and_where_keys_come_from(tmp_path: Path) -> None:
    """Prices with their catalog's date, what a resting key is called, and never what it is."""
    async with _served(tmp_path) as site:
        shown = (await _page(site, "")).text
        for words in (
            "embedded/planner",
            "acme/judge",
            "acme/dev",
            "acme/small",
            "newest price of 20",
            "scripted/model",
        ):
            assert words in shown, words
        assert "env:ACME_KEY" in shown
        assert "ACME_KEY is not set" in shown
        assert "resting" in shown
        assert "1 failures in a row" in shown
        assert "very-secret" not in shown
        assert "&lt;b&gt;big&lt;/b&gt;" in shown
        assert "<b>big" not in shown


@pytest.mark.parametrize(("role", "service"), [("viewer", True), ("user", False)])
async def test_others_see_no_key_and_figures_only_who_sees_all(tmp_path: Path, role: str, service: bool) -> None:
    """Models and prices are everybody's; figures are over all users; keys are the operator's."""
    async with _served(tmp_path) as site:
        await site.kernel.handle(OWNER).call("users.create", {"name": "bob", "role": role})
        shown = (await _page(site, "bob")).text
        assert "acme/judge" in shown
        assert ("How they served" in shown) is service
        assert ("resting" in shown) is service
        assert "ACME_KEY" not in shown


async def test_the_page_follows_and_is_accessible(tmp_path: Path) -> None:
    """A request's figures come in by themselves; axe finds nothing in both themes, wide and narrow."""
    async with _served(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/models")
        row = page.locator("tr", has_text="scripted/model").locator("td").first
        await expect(row).to_have_text("1")
        env = ExecEnv(mounts=(Mount(str(site.workspace)),), model=MODEL)
        await site.kernel.runs.wait(await site.kernel.runs.start(Directive("again"), env, owner=OWNER))
        await expect(row).not_to_have_text("1")
        assert await looks_right(page) == []
