"""Signing in and administering users in a browser: by link, by password without scripts, and by keyboard order."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.web.browser import axe, open_browser, open_site, widths
from tests.web.doors_world import PASSWORD

pytestmark = pytest.mark.anyio


async def test_a_followed_link_leaves_no_code_behind(tmp_path: Path) -> None:
    """The page takes it out of the address, posts it, and the browser has neither in its history."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor()
        link = site.link(then="/account")
        code = link.partition("#")[2]
        page = await visitor.open()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(f"{request.url} {request.headers.get('referer', '')}"))
        await page.goto(link)
        await page.wait_for_url(f"{site.url}/account")
        assert not [one for one in asked if code in one]
        await page.go_back()
        assert code not in page.url
        visitor.expected.append("403")
        again = await visitor.open()
        await again.goto(link)
        await again.wait_for_url(lambda url: "#" not in url)
        other = await browser.visitor()
        other.expected.append("403")
        stranger = await other.open()
        await stranger.goto(link)
        await expect(stranger.get_by_role("alert")).to_contain_text("was used")


async def test_a_password_works_without_scripts(tmp_path: Path) -> None:
    """A browser that runs none posts the form, comes in, and can sign out."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        await site.kernel.handle(site.kernel.operator).call(
            "users.password", {"name": "tester", "ticket": site.kernel.passwords.deposit(PASSWORD)}
        )
        context = await browser.chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{site.url}/account")
        assert page.url == f"{site.url}/sign-in?next=/account"
        await page.get_by_label("Name").fill("tester")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{site.url}/account")
        await page.get_by_role("button", name="Sign out everywhere").click()
        await expect(page).to_have_url(f"{site.url}/sign-in")
        await page.goto(f"{site.url}/account")
        assert "/sign-in" in page.url


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360)])
async def test_the_pages_are_accessible_and_fit(tmp_path: Path, theme: str, width: int) -> None:
    """Sign-in, users with what is shown once, and account: axe finds nothing, and nothing scrolls sideways."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor(theme="dark" if theme == "dark" else "light", width=width)
        stranger = await browser.visitor(theme="dark" if theme == "dark" else "light", width=width)
        pages = [await stranger.open("/sign-in"), await visitor.sign_in(then="/account")]
        page = await visitor.open("/users")
        await page.get_by_label("Name", exact=True).fill("bob")
        await page.get_by_role("button", name="Add").click()
        await expect(page.get_by_text("One-time link for bob")).to_be_visible()
        await page.get_by_label("What it is for").fill("ci")
        await page.get_by_role("button", name="Make", exact=True).click()
        await expect(page.get_by_text("New token")).to_be_visible()
        for shown in (*pages, page):
            assert await axe(shown) == [], shown.url
            wide, window = await widths(shown)
            assert wide == window, shown.url
