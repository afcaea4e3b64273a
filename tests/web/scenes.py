"""Photograph pages of a real server where real work was done; scripts/screens.py runs it.

Guarantees: nothing in a picture is made up: the embedded planner carries out a message in a temporary home, and each
page is shown as that left it. Needs Chromium and the development dependencies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from tests.web.browser import Site, Theme, axe, live, open_browser, open_site

WIDTH_PX: Final = 1360
HEIGHT_PX: Final = 850
MESSAGE: Final = (
    'write "apples 3, pears 5, plums 8" to notes/basket.txt, '
    "read notes/basket.txt and run `tr ',' '\\n' < notes/basket.txt | sort -k2 -n`"
)
Scene = Callable[[Page, Site, str], Awaitable[None]]


async def chat(page: Page, site: Site, run: str) -> None:
    await page.locator(".call-command .call-head").last.click()
    await page.locator(".message-reply").last.scroll_into_view_if_needed()


async def inspector(page: Page, site: Site, run: str) -> None:
    await _go(page, f"{site.url}{run}")


async def audit(page: Page, site: Site, run: str) -> None:
    await _go(page, f"{site.url}/audit")
    await page.get_by_role("button", name="Verify now").click()
    await page.wait_for_selector("#verified .card")


async def approvals(page: Page, site: Site, run: str) -> None:
    await _go(page, f"{site.url}/approvals?all=true")


async def style(page: Page, site: Site, run: str) -> None:
    await _go(page, f"{site.url}/style")


SCENES: Final[dict[str, Scene]] = {
    "chat": chat,
    "run": inspector,
    "audit": audit,
    "approvals": approvals,
    "style": style,
}
SHOWN: Final[list[str]] = ["chat", "run", "audit"]
"""Those that the README shows."""


async def photograph(names: list[str], into: Path, theme: Theme) -> list[str]:
    """What axe-core found on the pages that were photographed."""
    found: list[str] = []
    with tempfile.TemporaryDirectory(prefix="oxios-") as folder:
        async with open_site(Path(folder)) as site, open_browser(site) as browser:
            visitor = await browser.visitor(theme=theme, width=WIDTH_PX, height=HEIGHT_PX)
            page = await visitor.sign_in(then="/chat/new")
            await page.fill("#message", MESSAGE)
            await page.keyboard.press("Enter")
            await page.wait_for_selector(".message-reply")
            talk = page.url
            run = await page.locator('a.run-link[href^="/runs/"]').last.get_attribute("href") or ""
            for name in names:
                await _go(page, talk)
                await SCENES[name](page, site, run)
                await page.screenshot(path=into / f"{name}.png")
                found += [f"{name}: {line}" for line in await axe(page)]
    return found


async def _go(page: Page, url: str) -> None:
    await page.goto(url)
    await live(page)
    await page.wait_for_selector("#facts-bar a")
