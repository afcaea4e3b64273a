"""What tests of pages need beside a browser: plain requests as somebody, and a look at a page in every look."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from playwright.async_api import Page

from tests.web.browser import Site, Theme, axe, widths

HOSTILE: Final = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
_SETTLED: Final = """
async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const turning = () => document.getAnimations().some((one) => one instanceof CSSTransition);
  for (let frames = 0; frames < 60 && (frames < 2 || turning()); frames += 1) await frame();
}
"""
"""Other colours come by transitions, which last a frame even for who wants no motion."""
_TABLES_CUT: Final = """
() => [...document.querySelectorAll(".table-scroll")].filter((one) => one.checkVisibility())
  .filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => `the table ${one.ariaLabel} is ${one.scrollWidth} px in ${one.clientWidth}`)
"""
LOOKS: Final[tuple[tuple[Theme, int], ...]] = (("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360))
COLOURS: Final = ("color-contrast", "link-in-text-block")
"""Axe's rules that another theme can break alone."""


@asynccontextmanager
async def signed_in(site: Site, name: str = "") -> AsyncGenerator[httpx.AsyncClient]:
    """A client with a session of the user of that name; without one, the operator."""
    headers = {"accept": "text/html", "origin": site.url}
    async with httpx.AsyncClient(base_url=site.url, headers=headers) as client:
        path, _, code = site.house.doors.issue_link(name).partition("#")
        answer = await client.post(path, data={"code": code})
        assert answer.status_code == 303, answer.text
        yield client


async def post(client: httpx.AsyncClient, path: str, **fields: Any) -> httpx.Response:
    """A form of our pages, with the session's CSRF token."""
    found = re.search(r'name="csrf" content="([^"]+)"', (await client.get("/account")).text)
    assert found is not None
    return await client.post(path, data={**fields, "csrf": found[1]})


def hidden(html: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"', html)
    assert found is not None, name
    return found[1]


async def looks_right(page: Page) -> list[str]:
    """What is wrong with the page in light and dark, wide and narrow: by axe, or because it scrolls sideways."""
    found: list[str] = []
    await page.bring_to_front()  # A tab in the background is not painted in another theme.
    for theme, width in LOOKS:
        await page.emulate_media(color_scheme=theme)
        await page.set_viewport_size({"width": width, "height": 800})
        await page.evaluate(_SETTLED)
        rules = () if theme == LOOKS[0][0] else COLOURS
        found += [f"{theme} {width}: {line}" for line in await axe(page, only=rules)]
        wide, window = await widths(page)
        if wide > window:
            found.append(f"{theme}: {wide} px in {window}")
        found += [f"{window} px: {one}" for one in await page.evaluate(_TABLES_CUT)]
    return found
