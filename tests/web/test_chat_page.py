"""The conversation in a browser: tool calls live, the same after a reload, answered, stopped, sent once."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from kernel.testing.provider import Turn, call, say
from tests.cycle_world import SUBSTANTIAL, TRIVIAL, told
from tests.web.browser import axe, open_browser, open_site, widths
from tests.web.chatting import chat, scripted, send
from tests.world import until

pytestmark = pytest.mark.anyio
MANUAL = {"approval.mode": "manual"}
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


async def _shown(page: Page) -> str:
    """What the conversation says, without its times, which pass."""
    return await page.evaluate(
        """() => { const copy = document.getElementById("items").cloneNode(true);
        copy.querySelectorAll("time").forEach((one) => one.remove());
        return copy.textContent.replace(/\\s+/g, " ").trim(); }"""
    )


async def test_tool_calls_fill_while_they_run_and_stay_after_a_reload(tmp_path: Path) -> None:
    """A command's output is there before it ends; the page loaded again shows the same."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        go = site.workspace / "go"
        page = await chat(
            browser,
            'write "hi" to a.txt, read a.txt and run `echo first; until [ -e go ]; do sleep 0.1; done; echo second`',
        )
        running = page.locator(".call-command.state-running")
        await expect(running.locator("pre.terminal")).to_contain_text("first")
        await expect(page.locator("#stop")).to_be_visible()
        go.touch()
        await expect(page.locator(".message-reply")).to_contain_text("3 of 3")
        await expect(page.locator(".call-command.state-done pre.terminal")).to_contain_text("second")
        await expect(page.locator(".state-done")).to_have_count(3)
        await expect(page.locator("#stop")).to_be_hidden()
        before = await _shown(page)
        await page.reload()
        await expect(page.locator(".message-reply")).to_be_visible()
        assert await _shown(page) == before
        assert await axe(page) == []


async def test_a_reload_in_mid_run_loses_nothing(tmp_path: Path) -> None:
    """What was shown before is there again, a command's output so far too, and the rest comes."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        command = (
            "echo early; while [ ! -e go ]; do sleep 0.05; done; echo over; while [ ! -e end ]; do sleep 0.05; done"
        )
        page = await chat(browser, f'write "x" to a.txt and run `{command}`')
        output = page.locator(".call-command.state-running pre.terminal")
        await expect(output).to_have_text("early\n")
        await page.reload()
        await expect(page.locator(".call-edit.state-done")).to_be_visible()
        await expect(output).to_have_text("early\n")
        (site.workspace / "go").touch()
        await expect(output).to_have_text("early\nover\n")
        (site.workspace / "end").touch()
        await expect(page.locator(".message-reply")).to_contain_text("2 of 2")


async def test_two_tabs_show_one_conversation(tmp_path: Path) -> None:
    """What is said in one is seen in the other, as it happens."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        other = await browser.visitors[0].open(page.url.removeprefix(site.url))
        await expect(other.locator(".message-reply")).to_have_count(1)
        await send(page, "read a.txt")
        for one in (page, other):
            await expect(one.locator(".message-reply")).to_have_count(2)
        assert await _shown(page) == await _shown(other)


async def test_approvals_are_answered_in_the_flow(tmp_path: Path) -> None:
    """One is allowed with a key, one denied with a reason that the agent is told."""
    script = [
        told(TRIVIAL),
        call("exec", argv=["touch", "made"]),
        call("exec", argv=["rm", "made"]),
        say("as you wish"),
    ]
    async with open_site(tmp_path, script, settings=MANUAL) as site, open_browser(site) as browser:
        page = await scripted(site, browser, "do it")
        card = page.locator(".approval-pending")
        await expect(card).to_contain_text("touch made")
        await expect(card).to_contain_text("What it makes possible next")
        assert await axe(page) == []
        await card.focus()
        await page.keyboard.press("o")
        await expect(card).to_contain_text("rm made")
        assert (site.workspace / "made").exists()
        await card.locator("[name=reason]").fill("keep it")
        await card.locator("[data-key=d]").click()
        await expect(page.locator(".message-reply")).to_contain_text("as you wish")
        await expect(page.locator(".state-denied")).to_have_count(1)
        assert (site.workspace / "made").exists()
        assert await page.locator(".approval").count() == 2


async def test_stop_ends_what_runs(tmp_path: Path) -> None:
    """The command's processes are gone when the page says stopped, and the session goes on with a new message."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, "run `touch began; sleep 300`")
        await expect(page.locator(".call-command.state-running")).to_be_visible()
        await until(site.workspace / "began")
        await page.click("#stop")
        await expect(page.locator(".message-reply .badge-stopped")).to_be_visible()
        await expect(page.locator("#stop")).to_be_hidden()
        assert not site.kernel.supervisor.live
        await send(page, 'write "on" to b.txt')
        await expect(page.locator(".message-reply").nth(1)).to_contain_text("1 of 1")


async def test_what_is_written_offline_is_sent_once(tmp_path: Path) -> None:
    """It waits in the browser, survives a reload, and is one turn when the line is back."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        visitor = browser.visitors[0]
        visitor.expected += ["ERR_INTERNET_DISCONNECTED", "htmx:"]
        await visitor.context.set_offline(True)
        await send(page, "read a.txt")
        await expect(page.locator(".item-unsent")).to_have_text("read a.txt")
        await visitor.context.set_offline(False)
        await page.reload()
        await expect(page.locator(".message-reply")).to_have_count(2)
        await expect(page.locator(".item-unsent")).to_have_count(0)
        await page.reload()
        await expect(page.locator(".message-goal")).to_have_count(2)


async def test_a_draft_of_a_message_survives_a_reload(tmp_path: Path) -> None:
    """What was typed and not sent is in the box again."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, "list .")
        await expect(page.locator(".message-reply")).to_be_visible()
        await page.fill("#message", "half a thou")
        await page.reload()
        await expect(page.locator("#message")).to_have_value("half a thou")


async def test_a_seed_is_shown_changed_and_accepted(tmp_path: Path) -> None:
    """The draft waits for the person; what the form changed is what the agent gets, and it is fixed then."""
    draft = {"goal": "Write a file", "constraints": ["be brief"], "criteria": ["file exists: a.txt"]}
    script = [told(SUBSTANTIAL), told(draft), call("write", path="b.txt", content="x"), say("done")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        page = await scripted(site, browser, "make me a file")
        form = page.locator("[data-draft]")
        await expect(form.locator("[name=goal]")).to_have_value("Write a file")
        await form.locator("[name=criteria]").fill("file exists: b.txt")
        await form.locator("[value=accept]").click()
        await expect(page.locator(".verdict .badge-good")).to_be_visible()
        await expect(page.locator(".draft")).to_contain_text("accepted with changes")
        await expect(page.locator(".finding-passed")).to_contain_text("b.txt")
        await expect(page.locator("[data-draft]")).to_have_count(0)


async def test_a_declined_seed_is_not_carried_out(tmp_path: Path) -> None:
    """Nothing runs, and the turn says so."""
    draft = {"goal": "Write a file", "criteria": ["file exists: a.txt"]}
    script = [told(SUBSTANTIAL), told(draft)]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        page = await scripted(site, browser, "make me a file")
        await page.locator("[data-draft] [value=decline]").click()
        await expect(page.locator(".message-reply")).to_contain_text("Not carried out")
        assert await site.kernel.journal.rows("runs") == []


async def test_an_agents_question_is_answered_on_its_card(tmp_path: Path) -> None:
    """The card has the question while it waits; the answer reaches the agent."""
    script = [told(TRIVIAL), call("ask_user", question="Which colour?"), say("fine")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        page = await scripted(site, browser, "paint it")
        await expect(page.locator("[data-ask]")).to_contain_text("Which colour?")
        await page.locator("[data-ask] input[name=text]").fill("blue")
        await page.locator("[data-ask] button").click()
        await expect(page.locator(".message-reply")).to_contain_text("fine")
        await expect(page.locator("[data-ask]")).to_have_count(0)


async def test_the_persona_is_switched_in_mid_session(tmp_path: Path) -> None:
    """The next turn's agent has it, and the page shows it after a reload."""
    script = [told(TRIVIAL), say("one"), told(TRIVIAL), say("two")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        page = await scripted(site, browser, "first")
        await expect(page.locator(".message-reply")).to_contain_text("one")
        async with page.expect_response("**/change"):
            await page.select_option("[data-change=persona]", "writer")
        await send(page, "second")
        await expect(page.locator(".message-reply")).to_have_count(2)
        runs = await site.kernel.journal.rows("runs", order="started_us")
        assert [row["persona"] or "" for row in runs] == ["", "writer"]
        await page.reload()
        await expect(page.locator("[data-change=persona]")).to_have_value("writer")


async def test_a_change_is_undone_from_its_card(tmp_path: Path) -> None:
    """The file is gone again, and the card says so in every tab."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        await page.locator(".call-edit .call-head").click()
        await page.locator(".call-edit").get_by_role("button", name="Undo").click()
        await expect(page.locator(".call-edit .badge")).to_have_text("undone")
        assert not (site.workspace / "a.txt").exists()


async def test_revoking_a_capability_ends_the_call_that_rests_on_it(tmp_path: Path) -> None:
    """The running command stops, and its card says why."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, "run `sleep 300`")
        await expect(page.locator(".call-command.state-running")).to_be_visible()
        link = page.locator(".call-facts a", has_text="exec:").first
        other = await browser.visitors[0].open(await link.get_attribute("href") or "")
        await expect(other.locator("main .card-title")).to_contain_text("1 live run")
        await other.locator("button.button-danger", has_text="Revoke").click()
        confirm = other.locator("dialog[open] button.button-danger, dialog[open] [value=yes]")
        await confirm.first.click()
        await expect(page.locator(".call-command.state-failed, .call-command.state-denied")).to_be_visible()
        await expect(page.locator(".call-command .output, .call-command .terminal").first).to_contain_text("revoked")


async def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    """Script in the model's words, a tool's output, a file's name and the person's message does nothing."""
    script = [
        told(TRIVIAL),
        Turn(text=HOSTILE, reasoning=HOSTILE, calls=call("write", path="<b>x<b>.txt", content=HOSTILE).calls),
        call("exec", argv=["echo", HOSTILE]),
        say(f"done {HOSTILE} [x](javascript:alert(1))"),
    ]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        page = await scripted(site, browser, HOSTILE)
        await expect(page.locator(".message-reply")).to_contain_text("done")
        await page.reload()
        await expect(page.locator(".message-reply")).to_contain_text("done")
        assert await page.title() != "owned"
        assert await page.locator("#items img, #items script, #items a[href^='javascript:']").count() == 0
        run = await page.locator(".run-link").get_attribute("href")
        await page.goto(f"{site.url}{run}")
        await expect(page.locator(".call-command")).to_be_visible()
        assert await page.title() != "owned"


async def test_sessions_are_pinned_forked_deleted_and_taken_back(tmp_path: Path) -> None:
    """Each act is seen in the list; a deletion is offered to be undone at once."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        first = page.url
        await page.locator(".menu summary").click()
        await page.locator("[data-act=pin]").click()
        await expect(page.locator(".session .pin")).to_have_count(1)
        await page.locator(".menu summary").click()
        await page.locator("[data-act=fork]").click()
        await page.wait_for_url(lambda url: url != first and "/chat/s" in url)
        await expect(page.locator(".message-reply")).to_have_count(1)
        await page.goto(first)
        await page.locator(".menu summary").click()
        await page.locator("[data-act=delete]").click()
        await page.locator(".undo-bar button").click()
        await page.wait_for_url(first)
        await expect(page.locator(".message-reply")).to_be_visible()


async def test_a_turn_is_said_anew(tmp_path: Path) -> None:
    """It takes the place of the old one, which leaves the conversation."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        await page.locator(".message-goal").hover()
        await page.locator("[data-edit]").click()
        await send(page, "read a.txt")
        await expect(page.locator(".call-read.state-done")).to_be_visible()
        await expect(page.locator(".message-goal")).to_have_count(1)
        await expect(page.locator(".message-goal")).to_contain_text("read a.txt")


async def test_a_conversation_is_rewound_to_a_turn(tmp_path: Path) -> None:
    """What came after it leaves the page, in a second tab too, and stands in the record; the newest has no such act."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, 'write "x" to a.txt')
        await expect(page.locator(".message-reply")).to_be_visible()
        await page.locator(".message-goal").hover()
        await expect(page.get_by_role("button", name="Rewind to here")).to_have_count(0)
        await send(page, "read a.txt")
        await expect(page.locator(".message-reply")).to_have_count(2)
        other = await browser.visitors[0].open(page.url.removeprefix(site.url))
        await page.locator(".message-goal").first.hover()
        await page.get_by_role("button", name="Rewind to here").click()
        await page.locator("#confirm [data-yes]").click()
        for tab in (page, other):
            await expect(tab.locator(".message-goal")).to_have_count(1)
            await expect(tab.locator(".message-goal")).to_contain_text("write")
        (row,) = await site.kernel.journal.rows("sessions")
        assert row["turns"] == 1
        assert len(await site.kernel.journal.read(kind="session.message")) == 4


@pytest.mark.parametrize("width", [360, 820, 1920])
async def test_a_conversation_fits_every_width(tmp_path: Path, width: int) -> None:
    """Nothing scrolls sideways, and the composer is in reach."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, f'write "{"x" * 300}" to {"long/" * 12}a.txt', width=width)
        await expect(page.locator(".message-reply")).to_be_visible()
        wide, window = await widths(page)
        assert wide == window
        await expect(page.locator("#send")).to_be_in_viewport()
        details = page.locator("[data-fold=details]")
        for _ in range(2):
            shown = await page.locator("#details").is_visible()
            await details.click()
            await expect(page.locator("#details")).to_be_visible(visible=not shown)
        assert await axe(page) == []


async def test_sessions_are_at_hand_on_a_telephone(tmp_path: Path) -> None:
    """They open over the conversation, and close again."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await chat(browser, "list .", width=360)
        await expect(page.locator(".message-reply")).to_be_visible()
        await expect(page.locator("#chat-sessions")).to_be_hidden()
        await page.locator("[data-fold=chat-sessions]").click()
        await expect(page.locator("#chat-sessions .session")).to_have_count(1)
        assert await axe(page) == []
