"""The list of sessions: what changed unseen, what asks, several at once; and the files beside a conversation."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from kernel.directive import Mount
from kernel.testing.provider import call, say
from ouroboros.session import Session
from ouroboros.sessionbook import Making, create
from tests.cycle_world import TRIVIAL, told
from tests.web.browser import Site, axe, open_browser, open_site
from tests.web.page_world import post, signed_in
from tests.world import MODEL, OWNER
from webui.conversations import Said

pytestmark = pytest.mark.anyio
OK = 200
FOUND = re.compile("is-found")
NOT_FOUND = 404
INVALID = 422


async def _session(site: Site, name: str, *, model: str = "", approve: str = "auto") -> Session:
    making = Making(OWNER, (Mount(str(site.workspace)),), name=name, model=model, approve=approve)
    return await create(site.kernel.journal, making, site.kernel.clock.now_us())


async def _turn(site: Site, session: Session, text: str) -> None:
    talk = site.house.conversations.of(session)
    await talk.say(Said(text))
    await talk.wait()


def _line(page: Page, session: Session) -> str:
    return f'[data-listed="{session.id}"]'


async def test_a_turn_that_ended_unseen_is_marked_until_one_looks(tmp_path: Path) -> None:
    """What was there before is read; news elsewhere is not, after a reload and in a second tab too, until one looks."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        first, second = await _session(site, "one"), await _session(site, "two")
        await _turn(site, second, "list .")
        visitor = await browser.visitor()
        page = await visitor.sign_in(then=f"/chat/{first.id}")
        await expect(page.locator(_line(page, second))).to_be_visible()
        await expect(page.locator(".is-unread")).to_have_count(0)
        await _turn(site, second, "list .")
        unread = page.get_by_role("img", name="unread")
        await expect(page.locator(f"{_line(page, second)}.is-unread")).to_be_visible()
        await expect(unread).to_have_count(1)
        await page.reload()
        await expect(unread).to_have_count(1)
        assert await axe(page) == []
        other = await visitor.open(f"/chat/{second.id}")
        await expect(other.get_by_role("img", name="unread")).to_have_count(0)
        await page.bring_to_front()
        await expect(unread).to_have_count(0)


async def test_a_session_that_asks_says_so_in_the_list(tmp_path: Path) -> None:
    """An approval that waits elsewhere is seen from any conversation; once it is answered, the list says so no more."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        first, second = await _session(site, "one"), await _session(site, "two", approve="manual")
        page = await (await browser.visitor()).sign_in(then=f"/chat/{first.id}")
        await site.house.conversations.of(second).say(Said("run `touch a`"))
        line = page.locator(_line(page, second))
        await expect(line.locator(".badge")).to_have_text("asks you")
        await expect(line.get_by_role("img", name="unread")).to_be_visible()
        await line.get_by_role("link").click()
        await page.get_by_role("button", name="Allow once").click()
        await expect(page.locator(".message-reply")).to_be_visible()
        await expect(line.locator(".badge")).to_have_count(0)


async def test_several_sessions_are_archived_and_deleted_and_brought_back(tmp_path: Path) -> None:
    """All at once, with one undo; the open one too, whose page gives way to a new chat that offers the undo."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        sessions = [await _session(site, name) for name in ("one", "two", "three")]
        page = await (await browser.visitor()).sign_in(then=f"/chat/{sessions[0].id}")
        lines = page.locator("[data-listed]")
        await page.get_by_role("button", name="Select").click()
        await expect(page.get_by_role("button", name="Archive", exact=True)).to_be_disabled()
        for name in ("two", "three"):
            await page.get_by_label(f"Select {name}").check()
        await expect(page.locator("#session-count")).to_have_text("2 selected")
        assert await axe(page) == []
        await page.locator("[data-several=archive]").click()
        await expect(lines).to_have_count(1)
        await expect(page.locator(".toast")).to_contain_text("2 sessions archived")
        await page.locator(".toast").get_by_role("button", name="Undo").click()
        await expect(lines).to_have_count(3)
        await page.get_by_role("button", name="Select").click()
        await page.get_by_label("All", exact=True).check()
        await page.locator("[data-several=delete]").click()
        await page.wait_for_url("**/chat/new")
        await expect(lines).to_have_count(0)
        await page.locator(".undo-bar").get_by_role("button", name="Undo").click()
        await expect(lines).to_have_count(3)


async def test_acts_on_several_are_those_of_the_owner_alone(tmp_path: Path) -> None:
    """One that is not the user's makes the whole act *not found*, and nothing changes; nor does an unknown act."""
    async with open_site(tmp_path) as site:
        mine = await _session(site, "one")
        async with signed_in(site) as client:
            wrong = await _several(client, "delete", mine.id, "s000000000-0000000")
            assert wrong.status_code == NOT_FOUND
            assert (await _several(client, "burn", mine.id)).status_code == INVALID
            assert (await _several(client, "delete")).status_code == INVALID
            (row,) = await site.kernel.journal.rows("sessions")
            assert row["status"] == "active"
            assert (await _several(client, "delete", mine.id)).status_code == OK
        (row,) = await site.kernel.journal.rows("sessions")
        assert row["status"] == "deleted"


async def _several(client: httpx.AsyncClient, act: str, *sessions: str) -> httpx.Response:
    return await post(client, f"/chat/several?act={act}&ids={','.join(sessions)}")


async def test_a_changed_file_leads_to_its_calls_and_each_call_to_the_file(tmp_path: Path) -> None:
    """With what came and went in all; the list is the same whenever it is drawn, and by keyboard alone."""
    script = [
        told(TRIVIAL),
        call("write", path="a.txt", content="one\ntwo\n"),
        call("edit", path="a.txt", old="two", new="three"),
        say("done"),
    ]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        session = await _session(site, "files", model=MODEL)
        await _turn(site, session, "write a.txt")
        page = await (await browser.visitor(width=1400)).sign_in(then=f"/chat/{session.id}")
        file = page.locator('[data-file="a.txt"]')
        await expect(file).to_contain_text("+3")
        await expect(file).to_contain_text("\N{MINUS SIGN}1")
        cards = page.locator(".call-edit")
        await expect(cards).to_have_count(2)
        await file.get_by_role("link", name="write 1 of a.txt").press("Enter")
        await expect(cards.first.locator("summary").first).to_be_focused()
        await expect(cards.first).to_have_class(FOUND)
        await page.get_by_role("button", name="Details").click()
        await cards.first.get_by_role("button", name="Among the files changed").click()
        await expect(file).to_have_class(FOUND)
        await file.get_by_role("link", name="a.txt", exact=True).click()
        await expect(cards.last.locator("summary").first).to_be_focused()
        assert await axe(page) == []
        await cards.last.get_by_role("button", name="Undo").click()
        await expect(file).not_to_contain_text("\N{MINUS SIGN}1")
