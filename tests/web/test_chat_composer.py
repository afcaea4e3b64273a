"""What a person does beside talking: answers, chooses, attaches, commands, takes back; sessions from their list."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from kernel.testing.provider import call, say
from tests.cycle_world import TRIVIAL, told
from tests.web.browser import axe, open_browser, open_site
from tests.web.chatting import chat, scripted, send

pytestmark = pytest.mark.anyio
MANUAL = {"approval.mode": "manual"}


async def test_questions_are_answered_together(tmp_path: Path) -> None:
    """Each by its number, in one message; what is left open is asked for again, and an answered card asks no more."""
    questions = [
        {"text": "Which folder?", "kind": "single_choice", "choices": ["src", "docs"]},
        {"text": "By when?", "kind": "free_text"},
    ]
    asked = {"kind": "clarify", "clarity": {"goal": 0.1, "constraints": 0.1, "success": 0.1}, "questions": questions}
    async with open_site(tmp_path, [told(asked), told(TRIVIAL), say("fine")]) as site, open_browser(site) as browser:
        page = await scripted(site, browser, "something")
        card = page.locator("[data-questions]")
        await card.get_by_label("docs").check()
        await card.get_by_role("button", name="Answer").click()
        await expect(card.get_by_label("By when?")).to_be_focused()
        assert await axe(page) == []
        await page.keyboard.type("Friday")
        await page.keyboard.press("Enter")
        await expect(page.locator(".message-answer .said")).to_have_text("1. docs\n2. Friday")
        await expect(page.locator(".message-reply")).to_contain_text("fine")
        await expect(card).to_have_count(0)


async def test_a_new_chat_has_what_was_chosen_for_it(tmp_path: Path) -> None:
    """Approval mode and files go with the first message, and the composer shows them after it."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await (await browser.visitor(width=1400)).sign_in(then="/chat/new")
        await page.select_option("[data-change=approve]", "auto")
        for name in ("notes.txt", "not this.txt"):
            await page.set_input_files("#attach", {"name": name, "mimeType": "text/plain", "buffer": b"a\n"})
        await page.get_by_role("button", name="Do not attach not this.txt").click()
        await send(page, "list .")
        await page.wait_for_url("**/chat/s*")
        await expect(page.locator("[data-change=approve]")).to_have_value("auto")
        await expect(page.locator(".attachment")).to_have_text(["notes.txt text/plain, 2 bytes"])


async def test_a_session_is_renamed_and_archived_from_the_list(tmp_path: Path) -> None:
    """By its own menu, with keys alone; what is archived leaves the list and is found in the archive."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        await page.goto(f"{site.url}/chat/new")
        more = page.locator(".session-more")
        await more.focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
        await page.keyboard.type("Harvest")
        await page.keyboard.press("Enter")
        await expect(page.locator(".session-title")).to_have_text("Harvest")
        await more.focus()
        await page.keyboard.press("Enter")
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
            await page.keyboard.press(key)
        await expect(page.locator(".session")).to_have_count(0)
        await page.get_by_label("Archived").check()
        await expect(page.locator(".session-title")).to_have_text("Harvest")
        assert await axe(page) == []


async def test_commands_are_chosen_with_the_arrows(tmp_path: Path) -> None:
    """The marked one is taken by Enter, and Enter again carries it out."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await (await browser.visitor()).sign_in(then="/chat/new")
        await page.locator("#message").press_sequentially("/")
        await expect(page.locator("#slash [aria-selected=true]")).to_contain_text("/new")
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")
        await expect(page.locator("#message")).to_have_value("/help")
        await page.keyboard.press("Enter")
        await expect(page.locator("#shortcuts")).to_be_visible()


async def test_a_reason_that_is_ended_with_enter_allows_nothing(tmp_path: Path) -> None:
    """The focus goes to Deny; y and n answer like the buttons that name them."""
    script = [told(TRIVIAL), call("exec", argv=["touch", "a"]), call("exec", argv=["touch", "b"]), say("so be it")]
    async with open_site(tmp_path, script, settings=MANUAL) as site, open_browser(site) as browser:
        page = await scripted(site, browser, "do it")
        card = page.locator(".approval-pending")
        await card.get_by_label("Reason").fill("not now")
        await page.keyboard.press("Enter")
        await expect(card.get_by_role("button", name="Deny")).to_be_focused()
        await page.keyboard.press("n")
        await expect(card).to_contain_text("touch b")
        await card.focus()
        await page.keyboard.press("y")
        await expect(page.locator(".message-reply")).to_contain_text("so be it")
        assert [(site.workspace / name).exists() for name in "ab"] == [False, True]


async def test_a_turn_is_not_said_anew_after_all(tmp_path: Path) -> None:
    """The page says what would be replaced, and Cancel leaves the conversation as it was."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        await page.locator(".message-goal").hover()
        await page.locator("[data-edit]").click()
        await expect(page.locator("#editing")).to_contain_text("takes the place of this turn")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#editing")).to_be_hidden()
        await send(page, "read a.txt")
        await expect(page.locator(".message-goal")).to_have_count(2)
