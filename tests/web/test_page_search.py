"""Searching the words of sessions: one's own, as text, with links that lead there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from kernel.ids import user
from kernel.journal.entry import Draft
from ouroboros.sessionbook import Making, create
from tests.web.browser import Site, open_browser, open_site
from tests.web.page_world import HOSTILE, looks_right, signed_in
from tests.world import OWNER

pytestmark = pytest.mark.anyio


async def _said(site: Site, owner: str, name: str, text: str) -> str:
    who = user(owner)
    session = await create(site.kernel.journal, Making(who, (), name), site.kernel.clock.now_us())
    said = {"role": "user", "text": text, "turn": 1}
    await site.kernel.journal.append(Draft(who, session.id, "session.message", said))
    return session.id


async def test_words_are_found_in_ones_own_sessions_only(tmp_path: Path) -> None:
    """Whoever else said them: an operator does not search a user's talks, nor the reverse."""
    async with open_site(tmp_path) as site:
        await site.kernel.handle(OWNER).call("users.create", {"name": "bob", "role": "user"})
        mine = await _said(site, "tester", "Harbour", "Where do the herons nest in spring?")
        theirs = await _said(site, "bob", "Other", "The herons are mine.")
        for name, sees, not_sees in (("", mine, theirs), ("bob", theirs, mine)):
            async with signed_in(site, name) as client:
                shown = (await client.get("/search", params={"q": "HERON"})).text
            assert f"/chat/{sees}" in shown
            assert not_sees not in shown
            assert "<mark>herons</mark>" in shown


async def test_what_was_said_and_asked_is_text(tmp_path: Path) -> None:
    """Script in a message, a name and the question; a question without a word says so."""
    async with open_site(tmp_path) as site:
        await _said(site, "tester", HOSTILE[:80].strip(), f"heron {HOSTILE}")
        async with signed_in(site) as client:
            shown = (await client.get("/search", params={"q": "heron alert"})).text
            assert "<img src=x" not in shown
            assert "<script>" not in shown
            assert "<mark>alert</mark>" in shown
            echoed = (await client.get("/search", params={"q": HOSTILE + " nowhere"})).text
            assert "<script>" not in echoed
            assert "No session has these words" in echoed
            assert "no word to look for" in (await client.get("/search", params={"q": "?!"})).text


async def test_it_finds_while_one_types(tmp_path: Path) -> None:
    """The address follows, so that a reload shows the same; axe finds nothing in any look."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        session = await _said(site, "tester", "Harbour", "Where do the herons nest in spring?")
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/search")
        await page.get_by_role("searchbox", name="Words").press_sequentially("spring ne")
        await expect(page.locator("#found a")).to_have_attribute("href", f"/chat/{session}")
        await page.wait_for_url(re.compile(r"/search\?q=spring(\+|%20)ne$"))
        await page.reload()
        await expect(page.locator("#found mark")).to_have_text(["nest", "spring"])
        assert await looks_right(page) == []
