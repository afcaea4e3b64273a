"""The frame in a browser: it is whole, light and quiet, and what it offers works by keyboard alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from kernel.testing.provider import call, say
from tests.web.browser import Browser, Theme, axe, live, open_browser, open_site, weight, widths
from tests.web.filled_home import approval_of, begin
from tests.web.page_world import post, signed_in
from tests.world import OWNER

pytestmark = pytest.mark.anyio
BYTES_MAX = 150_000


async def _styled(browser: Browser, theme: Theme = "light", width: int = 1280) -> Page:
    visitor = await browser.visitor(theme=theme, width=width)
    return await visitor.sign_in(then="/style")


async def _palette(page: Page, words: str) -> None:
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette [role=option]").first).to_be_visible()
    await page.keyboard.type(words)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)])
async def test_every_part_is_accessible_and_fits(tmp_path: Path, theme: Theme, width: int) -> None:
    """Axe finds nothing in either theme, and nothing scrolls sideways at 360 px."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _styled(browser, theme, width)
        assert await axe(page) == []
        wide, window = await widths(page)
        assert wide == window
        for key in ("diff", "prose"):
            await page.locator(f"#sample-tab-{key}").click()
            await expect(page.locator(f"#sample-{key}")).to_be_visible()
        assert await axe(page) == []


async def test_a_page_is_light_and_asks_nobody_else(tmp_path: Path) -> None:
    """All that a first visit loads, compressed, is under 150 kB; the browser fixture sees any other host."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _styled(browser)
        assert await weight(page, f"{site.url}/style") < BYTES_MAX


async def test_the_palette_finds_and_goes_there_by_keyboard(tmp_path: Path) -> None:
    """Ctrl K, a few letters, Enter; the arrows move the choice, and a command is carried out."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _styled(browser)
        await _palette(page, "dark")
        await expect(page.locator("#palette [role=option]")).to_have_count(1)
        assert await axe(page) == []
        await page.keyboard.press("Enter")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        async with page.expect_response("**/palette?q=a"):
            await _palette(page, "a")
        await expect(page.locator("#palette [role=option]", has_text="Fold the menu")).to_have_count(0)
        await expect(page.locator("#palette [aria-selected=true]")).to_have_id("found-0")
        await page.keyboard.press("ArrowDown")
        await expect(page.locator("#palette [aria-selected=true]")).to_have_id("found-1")
        await page.keyboard.press("Control+a")
        async with page.expect_response("**/palette?q=approvals"):
            await page.keyboard.type("approvals")
        await expect(page.locator("#palette [aria-selected=true]")).to_contain_text("Approvals")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/approvals")


async def test_chords_and_the_list_of_shortcuts(tmp_path: Path) -> None:
    """G a goes to approvals, ? lists what there is, and neither acts where somebody writes."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _styled(browser)
        await page.locator("#field-goal").fill("")
        await page.locator("#field-goal").press_sequentially("?ga")
        await expect(page.locator("#field-goal")).to_have_value("?ga")
        await page.locator("#field-goal").blur()
        await page.keyboard.press("?")
        await expect(page.locator("#shortcuts")).to_contain_text("Approvals")
        assert await axe(page) == []
        await page.keyboard.press("Escape")
        await page.keyboard.press("g")
        await page.keyboard.press("a")
        await page.wait_for_url("**/approvals")


async def test_what_was_chosen_and_written_is_there_after_a_reload(tmp_path: Path) -> None:
    """The theme, the folded menu and a draft; the theme is there before the first paint."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _styled(browser)
        await page.locator("#field-goal").fill("half a thought")
        await page.get_by_label("Your account and the theme").click()
        await page.get_by_role("button", name="Dark").click()
        await page.keyboard.press("Control+b")
        await page.reload(wait_until="commit")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await expect(page.locator("html")).to_have_attribute("data-sidebar", "folded")
        await expect(page.locator("#field-goal")).to_have_value("half a thought")


async def test_tabs_and_trees_by_arrows(tmp_path: Path) -> None:
    """One stop of Tab each; the arrows move, open and close."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _styled(browser)
        await page.locator("#sample-tab-code").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#sample-tab-diff")).to_be_focused()
        await expect(page.locator("#sample-diff")).to_be_visible()
        await expect(page.locator("#sample-code")).to_be_hidden()
        tree = page.get_by_role("tree")
        await expect(tree.locator('[tabindex="0"]')).to_have_count(1)
        await tree.locator('[tabindex="0"]').focus()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowLeft")
        await expect(tree.locator(":focus")).to_have_attribute("aria-expanded", "false")
        await expect(tree.get_by_text("agent r-7f3a")).to_be_hidden()
        await expect(tree.get_by_text("user:grace")).to_be_visible()


async def test_the_menu_of_a_phone_opens_and_closes(tmp_path: Path) -> None:
    """Closed it cannot be reached by Tab; Escape closes it and gives the focus back."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _styled(browser, width=360)
        menu = page.get_by_role("button", name="Menu", exact=True)
        await expect(page.locator("#sidebar")).to_be_hidden()
        await menu.click()
        await expect(page.locator("#sidebar")).to_be_visible()
        assert await axe(page) == []
        await page.keyboard.press("Escape")
        await expect(page.locator("#sidebar")).to_be_hidden()
        await expect(menu).to_be_focused()


async def test_a_confirmed_act_waits_for_yes(tmp_path: Path) -> None:
    """No lets nothing out; yes sends one request; what the server refuses is told with its remedy."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/style")
        visitor.expected.append("/approvals/none/answer")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
        await page.evaluate(
            """() => { const button = document.getElementById("ask-danger");
            button.setAttribute("hx-post", "/approvals/none/answer");
            button.setAttribute("hx-confirm", "Stop all of it?");
            htmx.process(button); }"""
        )
        await page.locator("#ask-danger").click()
        await expect(page.locator("#confirm")).to_contain_text("Stop all of it?")
        assert await axe(page) == []
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#confirm")).to_be_hidden()
        assert sent == []
        await page.locator("#ask-danger").click()
        await page.locator("#confirm [data-yes]").click()
        await expect(page.locator(".toast-bad")).to_be_visible()
        await expect(page.locator("#ask-danger.htmx-request")).to_have_count(0)
        assert await axe(page) == []
        assert len(sent) == 1


async def test_a_page_comes_back_to_a_server_that_was_started_again(tmp_path: Path) -> None:
    """It says that it is alone, needs no reload, and asks for its regions again, as it may have missed something."""
    serving = open_site(tmp_path)
    site = await serving.__aenter__()
    async with open_browser(site) as browser:
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/style")
        visitor.expected += ["ERR_", "Failed to load resource", "htmx:"]
        await serving.__aexit__(None, None, None)
        await expect(page.locator("#connection")).to_have_text("reconnecting")
        assert await axe(page) == []
        port = int(site.url.rpartition(":")[2])
        async with page.expect_response("**/bar") as drawn, open_site(tmp_path, port=port):
            await drawn.value
            await live(page)
            assert page.url == f"{site.url}/style"


async def test_the_bar_misses_nothing_of_what_comes_close_together(tmp_path: Path) -> None:
    """A run begins, asks and is answered within moments: the bar counts one that waits, and then none."""
    script = [call("exec", argv=["touch", "x"]), say("done")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        page = await _styled(browser)
        run = await begin(site, "tidy up", approve="manual")
        approval = await approval_of(site, run)
        await expect(page.locator('#facts-bar [data-waiting="1"]')).to_be_visible()
        await site.kernel.handle(OWNER).call("approvals.answer", {"approval": approval, "choice": "deny"})
        await site.kernel.runs.wait(run)
        await expect(page.locator('#facts-bar [data-waiting="0"]')).to_be_visible()
        await expect(page.locator("#facts-bar [title='Runs at work']")).to_contain_text("0")


async def test_who_is_nobody_comes_to_the_page_after_signing_in(tmp_path: Path) -> None:
    """The sign-in page is accessible, follows no events, and leads back to what was asked for."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor()
        page = await visitor.open("/style")
        assert page.url == f"{site.url}/sign-in?next=/style"
        assert await axe(page) == []
        assert await page.locator("[sse-connect]").count() == 0
        await page.goto(site.link(then="/style"))
        await page.wait_for_url(f"{site.url}/style")
        await live(page)


async def test_the_palette_reaches_all_that_has_a_page(tmp_path: Path) -> None:
    """A Seed and a run by their goals, a session by its first message, a tool, a setting, an entry by its number."""
    async with open_site(tmp_path) as site, signed_in(site) as client:
        answer = await post(client, "/seeds", seed='goal = "list the walruses"')
        seed = answer.headers["hx-redirect"]
        rows = await site.kernel.journal.rows("runs")
        wanted = {
            "walruses": (seed, f"/runs/{rows[0]['id']}"),
            "web_fetch": ("/tools#tool-web_fetch",),
            "model default": ("/settings?q=model.default",),
            "3": ("/audit/3",),
            "password": ("/account",),
        }
        for words, paths in wanted.items():
            found = (await client.get("/palette", params={"q": words})).text
            assert [path for path in paths if f'data-href="{path}"' not in found] == [], words
        assert "/audit/" not in (await client.get("/palette", params={"q": "999999"})).text
