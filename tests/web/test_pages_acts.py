"""What pages do: seeds submitted, runs taken apart, gone on with and stopped, approvals answered, agents ended."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Page, Route, expect

from kernel.directive import Budget
from kernel.engine.failures import Failure, FailureClass
from kernel.engine.sources import Key
from kernel.ids import RunId
from kernel.journal.entry import Draft
from kernel.testing.provider import Turn, call, say
from tests.web.browser import Browser, Site, axe, live, open_browser, open_site
from tests.web.filled_home import approval_of, begin, carried_out
from tests.world import MODEL, OWNER

pytestmark = pytest.mark.anyio
SEED = """goal = "Write a summary"
criteria = ["file exists: summary.md"]
"""
TWO_STEPS = (call("write", path="a.txt", content="x"), call("exec", argv=["echo", "hi"]), say("one"))


async def _at(browser: Browser, path: str) -> Page:
    return await (await browser.visitor()).sign_in(then=path)


async def _state(site: Site, run: RunId) -> str:
    await site.kernel.journal.flush()
    return str((await site.kernel.journal.rows("runs", {"id": run}))[0]["status"])


async def test_a_seed_is_submitted_and_passes(tmp_path: Path) -> None:
    """It is recorded, carried out and judged, and its page comes to say so by itself."""
    script = [call("write", path="summary.md", content="all"), say("done")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        page = await _at(browser, "/seeds")
        await page.get_by_text("Submit a Seed").click()
        await page.locator("[name=seed]").fill(SEED)
        await page.locator("[name=model]").fill("scripted/model")
        await page.get_by_role("button", name="Submit").click()
        await page.wait_for_url("**/seeds/s*")
        await expect(page.locator("#seed article .badge-passed")).to_have_text("passed")
        await expect(page.locator(".finding-passed")).to_contain_text("file exists: summary.md")
        assert await axe(page) == []
        await page.goto(f"{site.url}/seeds")
        await expect(page.locator("#seeds tbody tr")).to_have_count(1)
        await expect(page.locator("#seeds tbody .badge")).to_have_text(["passed"])


async def test_the_list_of_seeds_says_how_each_was_judged(tmp_path: Path) -> None:
    """A run that finished with a criterion unmet is no good one there either."""
    seed = 'goal = "say done"\ncriteria = ["file exists: summary.md"]\nmodel = "scripted/model"'
    async with open_site(tmp_path, [say("done")]) as site, open_browser(site) as browser:
        page = await _at(browser, "/seeds")
        await page.get_by_text("Submit a Seed").click()
        await page.locator("[name=seed]").fill(seed)
        await page.get_by_role("button", name="Submit").click()
        await page.wait_for_url("**/seeds/s*")
        await expect(page.locator("#seed article .badge-failed")).to_have_text("failed")
        await page.goto(f"{site.url}/seeds")
        await expect(page.locator("#seeds tbody .badge")).to_have_text(["failed"])


async def test_what_is_no_seed_is_refused_and_stays_in_the_form(tmp_path: Path) -> None:
    """The message says why, nothing is recorded, and what was written is still there."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _at(browser, "/seeds")
        browser.visitors[0].expected.append("/seeds")
        await page.get_by_text("Submit a Seed").click()
        await page.locator("[name=seed]").fill('goal = "x"\nwhat = 1\n')
        await page.get_by_role("button", name="Submit").click()
        await expect(page.locator(".toast-bad")).to_contain_text("what")
        await expect(page.locator("[name=seed]")).to_have_value('goal = "x"\nwhat = 1\n')
        assert await site.kernel.journal.rows("seeds") == []


async def test_a_step_shows_its_request_a_replay_its_end_an_export_its_entries(tmp_path: Path) -> None:
    """What the model was sent at the second step; the same end without model and tools; every entry, a line each."""
    async with open_site(tmp_path, [*TWO_STEPS, *TWO_STEPS]) as site, open_browser(site) as browser:
        run = await carried_out(site, "look around")
        page = await _at(browser, f"/runs/{run}")
        await page.locator(".steps li").nth(1).get_by_role("button", name="request").click()
        await expect(page.locator("#request")).to_contain_text("at step 2")
        await expect(page.locator("#request")).to_contain_text("wrote a.txt")
        await expect(page.locator("#request")).not_to_contain_text("exit")
        await page.get_by_role("button", name="Replay").click()
        await expect(page.locator("#replayed .good")).to_contain_text("(finished)")
        async with page.expect_response(f"**/runs/{run}?part=run"):
            await carried_out(site, "look again")
        await expect(page.locator("#request")).to_contain_text("wrote a.txt")
        await expect(page.locator("#replayed .good")).to_be_visible()
        assert await axe(page) == []
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Export").click()
        saved = tmp_path / "export.jsonl"
        await (await download.value).save_as(saved)
        entries = [json.loads(line) for line in saved.read_text().splitlines()]
        recorded = await site.kernel.journal.read(stream=run)
        assert [(one["seq"], one["kind"], one["digest"]) for one in entries] == [
            (one.seq, one.kind, one.digest) for one in recorded
        ]
        assert entries[0]["payload"]["directive"]["goal"] == "look around"


async def test_a_run_is_forked_from_a_step_and_compared(tmp_path: Path) -> None:
    """The new run has what came before the step; both stand side by side, and where they part is marked."""
    script = [*TWO_STEPS, call("exec", argv=["echo", "ho"]), say("two")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        run = await carried_out(site)
        page = await _at(browser, f"/runs/{run}")
        await page.locator(".steps li").first.get_by_role("button", name="fork").click()
        await page.locator("#confirm [data-yes]").click()
        await page.wait_for_url(lambda url: "/runs/r" in url and run not in url)
        await expect(page.locator(".page-head .badge")).to_have_text("finished")
        await expect(page.locator(".items")).to_contain_text("ho")
        await page.get_by_role("link", name="compare").click()
        await expect(page.locator("tr.row-differs")).to_contain_text(["echo", "two"])
        assert await axe(page) == []


async def test_two_runs_of_the_list_are_compared(tmp_path: Path) -> None:
    """The button works once two are chosen; what is chosen stays when the list is drawn again."""
    async with open_site(tmp_path, [say("one"), say("two"), say("three")]) as site, open_browser(site) as browser:
        first, second = await carried_out(site), await carried_out(site)
        page = await _at(browser, "/runs")
        await page.get_by_label(f"Compare {first}").check()
        await expect(page.get_by_role("button", name="Compare two")).to_be_disabled()
        await carried_out(site)
        await expect(page.locator("tbody tr")).to_have_count(3)
        await page.get_by_label(f"Compare {second}").check()
        assert await axe(page) == []
        await page.get_by_role("button", name="Compare two").click()
        await page.wait_for_url(lambda url: "/compare/" in url and first in url and second in url)
        await expect(page.locator("tr.row-differs")).to_contain_text(["two"])


async def test_home_says_what_was_spent_and_which_circuits_are_open(tmp_path: Path) -> None:
    """All closed at first; a model that failed too often is named, with its state."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        page = await _at(browser, "/")
        await expect(page.get_by_role("region", name="Spend")).to_contain_text("$0")
        health = page.get_by_role("region", name="Health")
        await expect(health).to_contain_text("every model may be asked")
        engine, now_s = site.kernel.supervisor.desk.engine, site.kernel.clock.monotonic_s()
        refused = Failure(FailureClass.SERVER, OSError("it is away"))
        while not any(one.state == "open" for one in engine.breakers()):
            engine.health.failed(MODEL, Key("scripted", "none", ""), refused, now_s)
        await page.reload()
        await expect(health).to_contain_text(f"1 held back {MODEL} open")


async def test_a_run_that_ran_out_goes_on_with_more(tmp_path: Path) -> None:
    """It waits as paused; the form raises the bound, and it ends; a number that is none is refused in words."""
    async with open_site(tmp_path, TWO_STEPS) as site, open_browser(site) as browser:
        run = await begin(site, "do it", budget=Budget(tokens_max=20))
        await site.kernel.runs.wait(run)
        page = await _at(browser, f"/runs/{run}")
        await expect(page.locator(".page-head .badge")).to_have_text("paused")
        browser.visitors[0].expected.append("/resume")
        await page.get_by_label("Dollars").fill("a lot")
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator(".toast-bad")).to_contain_text("a lot")
        assert await _state(site, run) == "paused"
        await page.get_by_label("Dollars").fill("")
        await page.get_by_label("Calls").fill("many")
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator(".toast-bad").nth(1)).to_contain_text("many")
        await page.get_by_label("Calls").fill("")
        await page.get_by_label("Tokens").fill("100000")
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator(".page-head .badge")).to_have_text("finished")
        await expect(page.locator("form.resume")).to_have_count(0)


async def test_what_happens_while_a_page_loads_is_on_it(tmp_path: Path) -> None:
    """An agent ends after its page was drawn and before its events are listened to: the page comes to say so."""
    async with open_site(tmp_path, [call("exec", argv=["sleep", "300"])]) as site, open_browser(site) as browser:
        run = await begin(site, "sleep")
        visitor = await browser.visitor()
        page = await visitor.sign_in()
        over = anyio.Event()

        async def later(route: Route) -> None:
            await over.wait()
            await route.continue_()

        await page.route("**/events?*", later)
        await page.goto(f"{site.url}/runs/{run}")
        await expect(page.locator(".page-head .badge")).to_have_text("running")
        await site.kernel.handle(OWNER).call("runs.cancel", {"run": run})
        await site.kernel.journal.flush()
        over.set()
        await expect(page.locator(".page-head .badge")).to_have_text("cancelled")


async def test_what_is_written_stays_while_its_region_is_drawn_anew(tmp_path: Path) -> None:
    """In the field that has the focus, and in those that were filled before."""
    async with open_site(tmp_path, TWO_STEPS) as site, open_browser(site) as browser:
        run = await begin(site, "do it", budget=Budget(tokens_max=20))
        await site.kernel.runs.wait(run)
        page = await _at(browser, f"/runs/{run}")
        await page.get_by_label("Calls").fill("10")
        await page.get_by_label("Dollars").fill("2.5")
        await page.evaluate("document.getElementById('request').textContent = 'before'")
        async with page.expect_response("**/runs/*?part=run"):
            await site.kernel.journal.append(Draft(OWNER, run, "run.steered", {"text": "look again"}))
        await expect(page.locator("#request")).to_have_text("")
        await expect(page.get_by_label("Calls")).to_have_value("10")
        await expect(page.get_by_label("Dollars")).to_have_value("2.5")


async def test_a_run_is_stopped_from_its_page_and_an_agent_from_the_tree(tmp_path: Path) -> None:
    """Each is over, with what it had started, and the page says so without a reload."""
    script = [call("exec", argv=["sleep", "300"]), call("exec", argv=["sleep", "300"])]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        run = await begin(site, "sleep")
        page = await _at(browser, f"/runs/{run}")
        await page.get_by_role("button", name="Stop", exact=True).click()
        await expect(page.locator(".page-head .badge")).to_have_text("cancelled")
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
        other = await begin(site, "sleep on")
        await page.goto(f"{site.url}/agents")
        await live(page)
        await expect(page.locator(f"#agent-{other}")).to_contain_text("sleep on")
        await page.locator(f"#agent-{other}").get_by_role("button", name="Kill").click()
        await page.locator("#confirm [data-yes]").click()
        await expect(page.locator("#agents")).to_contain_text("No agent runs")
        assert (await _state(site, other), dict(site.kernel.supervisor.live)) == ("cancelled", {})


async def test_an_agents_question_is_answered_in_the_inspector(tmp_path: Path) -> None:
    """Of a run that no session began: its card has the question, and the answer reaches the agent."""
    script = [call("ask_user", question="Which colour?"), say("fine")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        run = await begin(site, "paint it")
        page = await _at(browser, f"/runs/{run}")
        await expect(page.locator("[data-ask]")).to_contain_text("Which colour?")
        await page.locator("[data-ask] input[name=text]").fill("blue")
        await page.locator("[data-ask] button").click()
        await expect(page.locator(".page-head .badge")).to_have_text("finished")
        (outcome,) = await site.kernel.journal.read(stream=run, kind="call.outcome")
        assert "blue" in str(outcome.payload)


async def test_approvals_are_answered_by_keyboard(tmp_path: Path) -> None:
    """One is allowed by a key, the next denied by a key; the reason is in the record, and the inbox is empty."""
    script = [call("exec", argv=["touch", "made"]), call("exec", argv=["rm", "made"]), say("as you wish")]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        run = await begin(site, "tidy up", approve="manual")
        page = await _at(browser, "/approvals")
        card = page.locator(".approval-pending")
        await expect(card).to_contain_text("touch made")
        await card.focus()
        await page.keyboard.press("o")
        await expect(card).to_contain_text("rm made")
        await card.get_by_label("Reason").fill("keep it")
        await card.focus()
        await page.keyboard.press("d")
        await expect(page.locator("#approvals")).to_contain_text("Nothing waits for you")
        await site.kernel.runs.wait(run)
        assert (site.workspace / "made").exists()
        rows = await site.kernel.journal.rows("approvals", order="asked_us")
        assert [(row["choice"], row["reason"], row["answered_by"]) for row in rows] == [
            ("once", "", OWNER),
            ("deny", "keep it", OWNER),
        ]


async def test_an_approval_has_a_link_and_says_when_another_was_quicker(tmp_path: Path) -> None:
    """Two pages show it; what the second answers is refused in words, and it shows who answered."""
    script = [call("exec", argv=["touch", "made"]), Turn(hang=True)]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        run = await begin(site, "tidy up", approve="manual")
        approval = await approval_of(site, run)
        page = await _at(browser, f"/approvals/{approval}")
        await expect(page.locator(".approval-pending")).to_contain_text("touch made")
        await browser.visitors[0].context.route("**/events?*", lambda route: route.abort())
        browser.visitors[0].expected += ["/events", "/answer"]
        await page.reload()
        form = page.locator(".approval-acts")
        await expect(form).to_be_visible()
        await site.kernel.handle(OWNER).call("approvals.answer", {"approval": approval, "choice": "once"})
        await form.get_by_role("button", name="Deny").click()
        await expect(page.locator(".toast-bad")).to_contain_text("is granted already")
        await browser.visitors[0].context.unroute("**/events?*")
        await page.reload()
        await expect(page.locator("#approvals")).to_contain_text("once by tester")
        await expect(form).to_have_count(0)
