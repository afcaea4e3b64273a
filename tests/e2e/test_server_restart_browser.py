"""The real server killed under an open page: the page comes back, and what was under way goes on once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.e2e.place import Place
from tests.e2e.serving import serving
from tests.web.browser import CHROMIUM, FLAGS, WAIT_MS

pytestmark = pytest.mark.anyio
MESSAGE = 'write "x" to a.txt and run `echo over`'


async def test_a_page_outlives_its_server(tmp_path: Path) -> None:
    """Killed in a step and started again on its port: signed in still, connected by itself, each element once."""
    place = Place(tmp_path)
    place.env["OXIOS__APPROVAL__MODE"] = "manual"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = await chromium.new_page()
        page.set_default_timeout(WAIT_MS)
        with serving(place) as server:
            port = str(urlsplit(server.url).port)
            await page.goto(server.link)
            await page.wait_for_url(lambda url: "/sign-in" not in url)
            await page.goto(f"{server.url}/chat/new")
            await page.fill("#message", MESSAGE)
            await page.keyboard.press("Enter")
            await expect(page.locator(".approval-pending")).to_be_visible()
            talk = page.url
            loads: list[Any] = []
            page.on("load", lambda one: loads.append(one))  # noqa: PLW0108 -- Playwright asks what it is
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            await expect(page.locator("#connection")).to_have_text("reconnecting")
        with serving(place, "--port", port) as again:
            assert again.url == server.url
            await expect(page.locator("#connection")).to_have_text("connected", timeout=WAIT_MS)
            await _allow_all(page)
            kinds = [kind for _, kind, _ in place.log()]
            assert [kinds.count(kind) for kind in ("run.started", "run.resumed", "run.finished")] == [1, 1, 1]
            assert (page.url, loads) == (talk, [])
            shown = await _ids(page)
            assert len(shown) == len(set(shown))
            await page.reload()
            await expect(page.locator(".message-reply")).to_contain_text("2 of 2")
            assert await _ids(page) == shown
            assert again.end()[0] == 0
        await chromium.close()


async def _allow_all(page: Page) -> None:
    """Answer what the agent asks, until it has answered itself."""
    reply, card = page.locator(".message-reply"), page.locator(".approval-pending")
    while not await reply.count():
        await expect(card.or_(reply).first).to_be_visible()
        if await card.count():
            name = await card.first.get_attribute("id")
            await card.first.focus()
            await page.keyboard.press("o")
            await expect(page.locator(f"#{name}.approval-pending")).to_have_count(0)
    await expect(reply).to_contain_text("2 of 2")
    await expect(page.locator(".call.state-done")).to_have_count(2)


async def _ids(page: Page) -> list[str]:
    found: list[str] = await page.evaluate("[...document.getElementById('items').children].map((one) => one.id)")
    return found
