"""What holds for every page: whole, accessible, narrow, light, the same after a reload, and worked by keyboard.

The pages are those of the application's own menu, in a home where work of every kind was done, and one of each
kind that is reached from them: a new page of the menu is held to all of it by being there.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page

from tests.web.browser import DRAWN, Site, Visitor, live, open_browser, open_site, weight
from tests.web.filled_home import fill, script_of
from tests.web.page_world import looks_right

pytestmark = pytest.mark.anyio
BYTES_MAX: Final = 150_000
FIGURES: Final = ("/charts",)
"""Pages of figures of now."""
_FOCUSABLE: Final = 'a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex="-1"])'
_PASSING: Final = re.compile(r"\d+(?:\.\d+)? (?:ms|s|min|h)\b")
"""How long something has taken so far."""

WATCH_FOCUS: Final = """
(focusable) => {
  document.body.tabIndex = -1;
  document.body.focus();
  window.reached = new Set();
  window.unseen = [];
  const near = (one) =>
    [one, one.firstElementChild, one.parentElement, one.parentElement?.parentElement].filter(Boolean);
  const look = (one) => near(one).map((part) => {
    const style = getComputedStyle(part);
    const ring = style.outlineStyle === "none" ? 0 : style.outlineWidth;
    return [ring, style.boxShadow, style.borderTopColor].join();
  }).join(";");
  const before = new Map([...document.querySelectorAll(focusable)].map((one) => [one, look(one)]));
  document.addEventListener("focusin", ({ target }) => {
    if (window.reached.has(target)) return;
    window.reached.add(target);
    const box = target.getBoundingClientRect();
    const seen = box.width && box.height && look(target) !== before.get(target);
    if (!seen) window.unseen.push(target.outerHTML.slice(0, 160));
  });
}
"""
"""Remembers what had the focus, and what looked no other with it: itself, what is in it or around it."""

NOT_REACHED: Final = """
(focusable) => {
  const key = (one) => [one.tagName, one.id, one.name, one.getAttribute("href"), one.textContent].join();
  const known = new Set([...window.reached].map(key));
  return [...document.querySelectorAll(focusable)].filter((one) =>
  one.tabIndex >= 0 && !one.disabled && one.type !== "hidden" && one.type !== "file" &&
  !one.closest("dialog:not([open])") &&
  one.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) && !known.has(key(one)) &&
  !(one.type === "radio" && one.name)).map((one) => one.outerHTML.slice(0, 160)); }
"""
ONLY_BY_POINTER: Final = """
() => [...document.querySelectorAll("[hx-post], [hx-get]:not([hx-trigger]), [data-copy], [data-toggle], [data-open]")]
  .filter((one) => !one.matches("button, a[href], form, input, select, textarea, summary") && one.tabIndex < 0)
  .map((one) => one.outerHTML.slice(0, 160))
"""
SHOWN: Final = """
() => { const copy = document.getElementById("main").cloneNode(true);
copy.querySelectorAll("time").forEach((one) => one.remove());
return copy.textContent.replace(/\\s+/g, " ").trim(); }
"""


@dataclass(frozen=True, slots=True)
class Walk:
    """Every page of one server, and somebody who goes there."""

    site: Site
    visitor: Visitor
    page: Page
    paths: dict[str, str]

    async def go(self, path: str) -> None:
        await self.page.goto(f"{self.site.url}{path}")
        await live(self.page)
        await self.page.wait_for_selector("#facts-bar a", state="attached")


@asynccontextmanager
async def walk(root: Path) -> AsyncGenerator[Walk]:
    settings = {"approval.wait_s": "3600"}  # The run that waits does so until the walk is over.
    async with open_site(root, script_of(), settings=settings) as site, open_browser(site) as browser:
        filled = await fill(site)
        visitor = await browser.visitor()
        page = await visitor.sign_in()
        menu = {item.label: item.path for item in site.house.views.navigation}
        yield Walk(site, visitor, page, {**menu, "the own account": "/account", **filled.pages})


async def test_every_page_is_accessible_and_fits(tmp_path: Path) -> None:
    """Axe finds nothing in light and dark, wide and at 360 px, and nothing scrolls sideways, no table either."""
    found: list[str] = []
    async with walk(tmp_path) as tour:
        for name, path in tour.paths.items():
            await tour.go(path)
            found += [f"{name}, {line}" for line in await looks_right(tour.page)]
    assert not found, "\n".join(found)


async def test_every_page_is_light(tmp_path: Path) -> None:
    """All that a first visit loads, compressed, is under 150 kB."""
    async with walk(tmp_path) as tour:
        sizes = {name: await weight(tour.page, f"{tour.site.url}{path}") for name, path in tour.paths.items()}
    assert {name: size for name, size in sizes.items() if size >= BYTES_MAX} == {}


async def test_every_page_is_the_same_after_a_reload(tmp_path: Path) -> None:
    """What stands in it, but for times that pass."""
    changed: dict[str, Any] = {}
    async with walk(tmp_path) as tour:
        for name, path in tour.paths.items():
            shown: list[str] = []
            if path in FIGURES:
                continue
            for _ in range(2):
                await tour.go(path)
                shown.append(_PASSING.sub("…", str(await tour.page.evaluate(SHOWN))))
            assert shown[0], name
            if shown[0] != shown[1]:
                changed[name] = shown
    assert changed == {}


async def test_every_page_works_by_keyboard(tmp_path: Path) -> None:
    """Tab comes to all that can be used, one sees where it is, the first stop skips to the content."""
    wrong: list[str] = []
    async with walk(tmp_path) as tour:
        page = tour.page
        for name, path in tour.paths.items():
            await tour.go(path)
            wrong += [f"{name}, only by pointer: {one}" for one in await page.evaluate(ONLY_BY_POINTER)]
            await page.evaluate(DRAWN)
            await page.evaluate(WATCH_FOCUS, _FOCUSABLE)
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.className") != "skip":
                wrong.append(f"{name}: the first stop is {await page.evaluate('document.activeElement.outerHTML')}")
            for _ in range(await page.locator(_FOCUSABLE).count() + 1):
                await page.keyboard.press("Tab")
            wrong += [f"{name}, not reached: {one}" for one in await page.evaluate(NOT_REACHED, _FOCUSABLE)]
            wrong += [f"{name}, not seen: {one}" for one in await page.evaluate("window.unseen")]
            await page.locator(".skip").focus()
            await page.keyboard.press("Enter")
            if await page.evaluate("document.activeElement.id") != "main":
                wrong.append(
                    f"{name}: the skip link leads to {await page.evaluate('document.activeElement.outerHTML')}"
                )
    assert not wrong, "\n".join(wrong)
