"""Capabilities granted and taken back, the journal searched, verified and proved, from their pages."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from kernel.ids import Principal
from kernel.testing.provider import Turn, call, say
from tests.web.browser import Browser, Site, axe, live, open_browser, open_site
from tests.web.filled_home import begin, carried_out
from tests.world import OWNER

pytestmark = pytest.mark.anyio
Forged = Callable[[dict[str, Any]], dict[str, Any]]


async def _at(browser: Browser, path: str) -> Page:
    return await (await browser.visitor()).sign_in(then=path)


async def _holding(site: Site, holder: str) -> list[str]:
    return [str(cap.resource) for cap in site.kernel.capabilities.held(Principal(holder))]


async def test_a_capability_is_granted_and_its_source_taken_back(tmp_path: Path) -> None:
    """What is granted stands in the tree at once; before a revocation the page says what goes with it."""
    script = [call("exec", argv=["sleep", "300"]), Turn(hang=True)]
    async with open_site(tmp_path, script) as site, open_browser(site) as browser:
        await site.kernel.handle(OWNER).call("users.create", {"name": "ann", "role": "user"})
        page = await _at(browser, "/capabilities")
        browser.visitors[0].expected.append("/capabilities/grant")
        await page.locator("details summary", has_text="Grant").click()
        form = page.locator("form[hx-post='/capabilities/grant']")
        for name, text in (("to", "user:ann"), ("resource", "kernel:personas"), ("rights", "r"), ("hours", "soon")):
            await form.locator(f"[name={name}]").fill(text)
        await form.get_by_role("button", name="Grant").click()
        await expect(page.locator(".toast-bad")).to_contain_text("soon")
        assert "kernel:personas" not in await _holding(site, "user:ann")
        await form.locator("[name=hours]").fill("1.5")
        await form.get_by_role("button", name="Grant").click()
        await expect(page.locator(".toast-good")).to_be_visible()
        granted = page.locator(".tree-line", has_text="user:ann").filter(has_text="kernel:personas")
        await expect(granted).to_be_visible()
        run = await begin(site, "sleep")
        (held,) = [
            cap for cap in site.kernel.capabilities.held(Principal(f"agent:{run}")) if cap.resource.kind == "exec"
        ]
        assert held.parent is not None
        await page.goto(f"{site.url}/capabilities/{held.parent}")
        await live(page)
        await expect(page.locator("main .card-title")).to_contain_text("1 live run")
        await expect(page.locator(f"main a[href='/runs/{run}']")).to_be_visible()
        assert await axe(page) == []
        await page.get_by_role("button", name="Only what is below").click()
        await page.locator("#confirm [data-yes]").click()
        await expect(page.locator(".toast-good")).to_contain_text("revoked")
        assert not [one for one in await _holding(site, f"agent:{run}") if one.startswith("exec")]
        assert held.parent in {cap.id for cap in site.kernel.capabilities.held(OWNER)}


async def test_entries_are_filtered(tmp_path: Path) -> None:
    """By kind, by principal and by stream; what is like nothing says so."""
    async with open_site(tmp_path, [say("done")]) as site, open_browser(site) as browser:
        run = await carried_out(site)
        page = await _at(browser, "/audit")
        for field, text, column in (("Kind", "run.finished", 3), ("Principal", f"agent:{run}", 4), ("Stream", run, 5)):
            await page.goto(f"{site.url}/audit")
            await page.get_by_label(field, exact=True).fill(text)
            await page.get_by_role("button", name="Search").click()
            await page.wait_for_url("**/audit?**")
            shown = await page.locator(f"#entries tbody td:nth-child({column})").all_inner_texts()
            assert shown
            assert set(shown) == {text}
        await page.get_by_label("Kind", exact=True).fill("no.such")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("#entries")).to_contain_text("No entry is like that")


async def test_a_tampered_journal_is_called_broken_by_a_running_server(tmp_path: Path) -> None:
    """Good at first; after the database was changed behind its back, the finding names the entry."""
    async with open_site(tmp_path, [say("done")]) as site, open_browser(site) as browser:
        run = await carried_out(site, "pay 10 to Ann")
        page = await _at(browser, "/audit")
        await page.get_by_role("button", name="Verify now").click()
        await expect(page.locator("#verified .card-good")).to_contain_text("Good")
        (entry,) = await site.kernel.journal.read(stream=run, kind="run.started")
        _tamper(site.home / "journal" / "oxios.db", entry.seq)
        await page.get_by_role("button", name="Verify now").click()
        await expect(page.locator("#verified .card-bad")).to_contain_text("Broken")
        await expect(page.locator("#verified .card-bad")).to_contain_text(f"entry {entry.seq}")
        assert await axe(page) == []


def _tamper(path: Path, seq: int) -> None:
    with sqlite3.connect(path) as database:
        (table,) = [
            str(name)
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if {"seq", "payload"} <= {row[1] for row in database.execute(f"PRAGMA table_info({name})")}
        ]
        changed = database.execute(
            f"UPDATE {table} SET payload = REPLACE(payload, 'pay 10', 'pay 99') WHERE seq = ?",
            (seq,),
        )
        assert changed.rowcount == 1
    database.close()


async def test_an_entry_is_proved_in_the_browser(tmp_path: Path) -> None:
    """The script checks payload, leaf, path and signature; of an entry with letters that JSON escapes, too."""
    async with open_site(tmp_path, [say("done")]) as site, open_browser(site) as browser:
        run = await carried_out(site, 'say "höher\u2028\U0001f600" \\ <b>')
        page = await _at(browser, "/audit")
        for entry in await site.kernel.journal.read(stream=run):
            await page.goto(f"{site.url}/audit/{entry.seq}")
            await page.get_by_role("button", name="Prove it here").click()
            await expect(page.locator("#proved .good")).to_have_text("Proved in this browser:")
            await expect(page.locator("#proved li")).to_have_count(4)
        assert await axe(page) == []


def _other_payload(proof: dict[str, Any]) -> dict[str, Any]:
    proof["entry"]["payload"] = proof["entry"]["payload"].replace("10", "99")
    return proof


def _other_digest(proof: dict[str, Any]) -> dict[str, Any]:
    proof["entry"]["digest"] = "0" * 64
    proof["entry"]["payload"] = None
    return proof


def _other_leaf(proof: dict[str, Any]) -> dict[str, Any]:
    proof["entry"]["principal"] = "user:somebody"
    return proof


def _other_entry(proof: dict[str, Any]) -> dict[str, Any]:
    """A true proof, of another entry than the one that was asked for."""
    return proof


def _shorter_path(proof: dict[str, Any]) -> dict[str, Any]:
    proof["path"] = proof["path"][:-1]
    return proof


def _larger_size(proof: dict[str, Any]) -> dict[str, Any]:
    proof["size"] += 1
    return proof


def _other_root(proof: dict[str, Any]) -> dict[str, Any]:
    lines = proof["checkpoint"].split("\n")
    lines[1] = str(proof["size"])
    lines[2] = "A" * 43 + "="
    proof["checkpoint"] = "\n".join(lines)
    return proof


def _unsigned(proof: dict[str, Any]) -> dict[str, Any]:
    body = proof["checkpoint"].partition("\n\n")[0]
    proof["checkpoint"] = f"{body}\n\n"
    return proof


def _other_signature(proof: dict[str, Any]) -> dict[str, Any]:
    head, _, last = proof["checkpoint"].rstrip("\n").rpartition(" ")
    proof["checkpoint"] = f"{head} {last[:-8]}{'AAAA' if last[-8:-4] != 'AAAA' else 'BBBB'}{last[-4:]}\n"
    return proof


def _no_key(proof: dict[str, Any]) -> dict[str, Any]:
    proof["keys"] = []
    return proof


FORGERIES: list[Forged] = [
    _other_payload, _other_digest, _other_leaf, _other_entry, _shorter_path, _larger_size, _other_root, _unsigned,
    _other_signature, _no_key,
]  # fmt: skip


async def test_forged_proofs_are_refused_by_the_page(tmp_path: Path) -> None:
    """Whatever of the answer was changed on its way, the page says that nothing is proved."""
    async with open_site(tmp_path, [say("done")]) as site, open_browser(site) as browser:
        run = await carried_out(site, "pay 10 to Ann")
        (entry,) = await site.kernel.journal.read(stream=run, kind="run.started")
        page = await _at(browser, f"/audit/{entry.seq}")
        forge: list[Forged] = []

        async def answer(route: Route) -> None:
            url = route.request.url
            if forge[0] is _other_entry:
                url = url.replace(f"/{entry.seq}/", f"/{entry.seq - 1}/")
            answered = await route.fetch(url=url)
            await route.fulfill(response=answered, body=json.dumps(forge[0](await answered.json())))

        await page.route("**/proof", answer)
        proved: list[str] = []
        for forgery in FORGERIES:
            forge[:] = [forgery]
            await page.evaluate("document.getElementById('proved').replaceChildren()")
            await page.get_by_role("button", name="Prove it here").click()
            place = page.locator("#proved .bad, #proved .good")
            await expect(place).to_be_visible()
            if "Not proved:" not in await place.inner_text():
                proved.append(forgery.__name__)
        assert proved == []
