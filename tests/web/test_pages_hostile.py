"""What models, tools, files and people write is text on every page, whatever it says."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from kernel.testing.provider import say
from tests.web.browser import Site, live, open_browser, open_site, widths
from tests.web.filled_home import carried_out, fill, script_of
from tests.world import OWNER

pytestmark = pytest.mark.anyio
MARK: Final = "owned"
MARKUP: Final = (
    f"<img src=x onerror=\"document.title='{MARK}'\"><script>document.title='{MARK}'</script>"
    f"<b id={MARK}>x</b><a href='javascript:void(0)' class={MARK}>y</a>"
)
BREAKING: Final = (
    f"\"' autofocus onfocus=\"document.title='{MARK}'\" x='</textarea></title></pre></option></code>"
    f"<svg/onload=\"document.title='{MARK}'\"><iframe srcdoc='x'></iframe>{{{{7*7}}}}{{% if x %}}"
)
ODD: Final = (
    f"\u202eesrever\u2066\u0000\u0007\u001b[31m\ufffd\ud7ff {'long' * 2_000} {MARKUP}"
    f" \ndata: x\n\nevent: item\ndata: <b id={MARK}>"
)
INJECTED: Final = f"""
() => [...document.querySelectorAll("#{MARK}, .{MARK}, main iframe, main script:not([src]), main img, " +
  "[onerror], [onload], [onfocus], [href^='javascript:']")].map((one) => one.outerHTML.slice(0, 200))
"""


def changed(title: str) -> bool:
    """Whether a script gave the page its title; with the number that wait before it, as the frame puts it."""
    return title.rpartition(") ")[2] == MARK


@pytest.mark.parametrize("words", [MARKUP, BREAKING, ODD], ids=["markup", "breaking", "odd"])
async def test_hostile_words_are_text_on_every_page(tmp_path: Path, words: str) -> None:
    """In each field that is filled from outside; nothing is injected, no title changes, nothing scrolls sideways."""
    wrong: list[str] = []

    def said(text: str) -> str:
        return f"{text} {words}"

    async with open_site(tmp_path, [*script_of(said), say(said("as you wish"))]) as site, open_browser(site) as browser:
        filled = await fill(site, said)
        await _more(site, words)
        visitor = await browser.visitor(width=360)
        page = await visitor.sign_in()
        menu = {item.label: item.path for item in site.house.views.navigation}
        shown = ""
        for name, path in {**menu, **filled.pages}.items():
            await page.goto(f"{site.url}{path}")
            await live(page)
            wrong += [f"{name}: {one}" for one in await page.evaluate(INJECTED)]
            if changed(await page.title()):
                wrong.append(f"{name}: the title is {await page.title()}")
            shown += await page.inner_text("body")
            wide, window = await widths(page)
            if wide > window:
                wrong.append(f"{name}: {wide} px in {window}")
        assert not wrong, "\n".join(wrong)
        assert words.split("\n", maxsplit=1)[0][-40:].strip("\x00") in shown or words is ODD
        assert "49" not in shown or "{{7*7}}" in shown or words is not BREAKING
        await page.keyboard.press("Control+k")
        await page.keyboard.type("write")
        await expect(page.locator("#palette [role=option]").first).to_contain_text("Write notes")
        assert await page.evaluate(INJECTED) == []
        await page.goto(f"{site.url}/runs/{filled.finished}")
        await page.locator(".steps li").nth(1).get_by_role("button", name="request").click()
        await expect(page.locator("#request")).to_contain_text("wrote notes.md")
        await page.evaluate("document.querySelectorAll('#request details').forEach((one) => (one.open = true))")
        assert await page.evaluate(INJECTED) == []


async def _more(site: Site, words: str) -> None:
    """Answers, names and reasons: what people and the kernel write."""
    operator = site.kernel.handle(OWNER)
    (row,) = await site.kernel.journal.rows("approvals", {"status": "pending"})
    reason = words.replace("\x00", "")[:300]
    await operator.call("approvals.answer", {"approval": str(row["id"]), "choice": "deny", "reason": reason})
    personas = site.home / "personas"
    personas.mkdir(exist_ok=True)
    text = reason.replace("\\", "\\\\").replace("'''", "")
    printable = "".join(char if char.isprintable() else " " for char in text)
    (personas / "odd.toml").write_text(
        f"name = '''{printable[:60]}'''\nrole = '''{printable[:60]}'''\nsystem_prompt = '''{printable}'''\n",
        encoding="utf-8",
    )


async def test_hostile_words_of_a_problem_are_text_in_its_message(tmp_path: Path) -> None:
    """What a refused form said comes back in the message as text."""
    async with open_site(tmp_path, [say("done")]) as site, open_browser(site) as browser:
        await carried_out(site)
        visitor = await browser.visitor()
        visitor.expected += ["/capabilities/grant", "/seeds"]
        page = await visitor.sign_in(then="/capabilities")
        await page.locator("details summary", has_text="Grant").click()
        form = page.locator("form[hx-post='/capabilities/grant']")
        for name, text in (("to", MARKUP), ("resource", MARKUP), ("rights", "r")):
            await form.locator(f"[name={name}]").fill(text)
        await form.get_by_role("button", name="Grant").click()
        await expect(page.locator(".toast-bad")).to_contain_text("<img src=x")
        await page.goto(f"{site.url}/seeds")
        await page.get_by_text("Submit a Seed").click()
        await page.locator("[name=seed]").fill(f'goal = "x"\n"{MARKUP.replace(chr(34), "")}" = 1\n')
        await page.get_by_role("button", name="Submit").click()
        await expect(page.locator(".toast-bad")).to_be_visible()
        assert await page.evaluate(INJECTED) == []
        assert not changed(await page.title())


ADDRESSES: Final = (
    "/runs/{}", "/seeds/{}", "/approvals/{}", "/capabilities/{}", "/audit?kind={}&principal={}&stream={}", "/chat?q={}",
    "/runs?status={}&seed={}", "/capabilities?holder={}", "/palette?q={}", "/chat/{}", "/nowhere/{}",
    "/sign-in?next={}",
)  # fmt: skip


async def test_hostile_addresses_are_text(tmp_path: Path) -> None:
    """What an address says stands on its page, or on the one that says that there is none."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor()
        visitor.expected += ["Failed to load resource"]
        page = await visitor.sign_in()
        for words in (MARKUP, BREAKING, "%00%0a%ff", "../../../../etc/passwd"):
            for address in ADDRESSES:
                text = words if words.startswith("%") else quote(words, safe="")
                answer = await page.goto(f"{site.url}{address.replace('{}', text)}")
                assert answer is not None
                assert answer.status < 500, address
                assert await page.evaluate(INJECTED) == [], address
                assert not changed(await page.title()), address
