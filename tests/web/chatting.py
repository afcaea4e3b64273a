"""A person who talks: with the embedded planner, or in a session whose model plays a script."""

from __future__ import annotations

from playwright.async_api import Page

from kernel.directive import Mount
from ouroboros.sessionbook import Making, create
from tests.web.browser import Browser, Site
from tests.world import MODEL, OWNER


async def chat(browser: Browser, text: str, *, width: int = 1400) -> Page:
    visitor = await browser.visitor(width=width)
    page = await visitor.sign_in(then="/chat/new")
    await send(page, text)
    await page.wait_for_url("**/chat/s*")
    return page


async def scripted(site: Site, browser: Browser, text: str) -> Page:
    """As `chat`, in a session whose model plays the script."""
    kernel = site.kernel
    making = Making(OWNER, (Mount(str(site.workspace)),), model=MODEL)
    session = await create(kernel.journal, making, kernel.clock.now_us())
    page = await (await browser.visitor(width=1400)).sign_in(then=f"/chat/{session.id}")
    await send(page, text)
    return page


async def send(page: Page, text: str) -> None:
    await page.fill("#message", text)
    await page.keyboard.press("Enter")
