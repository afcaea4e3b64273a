"""The settings as a form and as text: only what changed is written, comments stay, and only by the operator."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.async_api import expect

from tests.web.browser import Site, open_browser, open_site
from tests.web.page_world import HOSTILE, hidden, looks_right, post, signed_in
from tests.world import OWNER

pytestmark = pytest.mark.anyio
TEXT: Final = """\
# mine, and it stays
[run]
turns_max = 50 # enough

[providers.acme]
base_url = "https://acme.example/v1"
"""


@asynccontextmanager
async def _site(root: Path, text: str = TEXT) -> AsyncGenerator[tuple[Site, Path]]:
    home = root / "home"
    home.mkdir(mode=0o700)
    file = home / "config.toml"
    file.write_text(text, encoding="utf-8")
    async with open_site(root, settings={"cycle.generations_max": "2"}) as site:
        yield site, file


def _form_of(page: str, section: str) -> dict[str, str]:
    """What a browser would send for a section as it is drawn."""
    part = page.partition(f'id="section-{section}"')[2].partition("</form>")[0]
    fields = {"digest": hidden(part, "digest"), "shown": hidden(part, "shown"), "add": hidden(part, "add")}
    free = r'name="([^"]+)"(?![^>]*disabled)'
    fields |= dict(re.findall(rf'<input type="(?:text|number)" id="[^"]+" {free} value="([^"]*)"', part))
    fields |= dict(re.findall(rf'<textarea id="[^"]+" {free}[^>]*>(.*?)</textarea>', part, re.DOTALL))
    fields |= dict(re.findall(rf'<select id="[^"]+" {free}[^>]*>.*?value="([^"]*)" selected', part, re.DOTALL))
    return {name: html.unescape(value) for name, value in fields.items()}


async def _load(client: httpx.AsyncClient, section: str, path: str = "/settings") -> dict[str, str]:
    return _form_of((await client.get(path)).text, section)


async def test_a_form_writes_only_what_changed(tmp_path: Path) -> None:
    """As it is drawn it writes nothing; one value changes one line; comments stay; it holds at once."""
    async with _site(tmp_path) as (site, file), signed_in(site) as client:
        for section in ("run", "approval", "providers", "sandbox", "server"):
            fields = await _load(client, section)
            flags = {"server.secure_cookies"} & set(fields["shown"].split())
            assert (await post(client, "/settings", **fields)).headers["location"] == "/settings", (section, flags)
        assert file.read_text(encoding="utf-8") == TEXT
        fields = await _load(client, "run")
        saved = await post(client, "/settings", **{**fields, "run.turns_max": "60", "run.usd_max": "1.5"})
        assert saved.status_code == 303
        assert file.read_text(encoding="utf-8") == TEXT.replace("50 #", "60 #").replace(
            "enough\n", "enough\nusd_max = 1.5\n"
        )
        assert site.kernel.settings.run.usd_max == 1.5
        assert "Holds now: run.turns_max, run.usd_max" in (await client.get(saved.headers["location"])).text
        entry = (await site.kernel.journal.read(kind="config.changed"))[-1]
        assert entry.principal == OWNER


async def test_sources_locks_and_restarts_are_told(tmp_path: Path) -> None:
    """A flag's value cannot be changed here, even by who sends it; what needs a restart says so until then."""
    async with _site(tmp_path) as (site, file), signed_in(site) as client:
        shown = (await client.get("/settings")).text
        assert "your file, line 3" in shown
        assert "flag: --set cycle.generations_max" in shown
        locked = shown.partition('name="cycle.generations_max"')[2].partition(">")[0]
        assert "disabled" in locked
        fields = await _load(client, "cycle")
        assert "cycle.generations_max" not in fields
        assert (await post(client, "/settings", **{**fields, "cycle.generations_max": "3"})).headers[
            "location"
        ] == "/settings"
        fields = await _load(client, "sandbox")
        saved = await post(client, "/settings", **{**fields, "sandbox.memory_mb": "64"})
        told = (await client.get(saved.headers["location"])).text
        assert "Holds after a restart of the server: sandbox.memory_mb" in told
        assert "waits for a restart" in told
        assert site.kernel.settings.sandbox.memory_mb == 1024
        fields = await _load(client, "sandbox")
        await post(client, "/settings", digest=fields["digest"], unset="sandbox.memory_mb")
        assert "memory_mb" not in file.read_text(encoding="utf-8")


async def test_what_is_wrong_stands_beside_its_field(tmp_path: Path) -> None:
    """All of it at once, as text; a key that was pasted into a name's place is not shown again, nor journalled."""
    async with _site(tmp_path) as (site, file), signed_in(site) as client:
        fields = await _load(client, "providers")
        pasted = {"providers.acme.key_env": "sk-secret-in-the-wrong-place", "providers.acme.connect_s": "0"}
        wrong = await post(client, "/settings", **{**fields, **pasted})
        assert (wrong.status_code, wrong.text.count('class="field-fault"')) == (422, 2)
        assert "sk-secret" not in wrong.text
        fields = await _load(client, "model")
        wrong = await post(client, "/settings", **{**fields, "model.default": "nobody/x"})
        assert wrong.status_code == 422
        assert "is configured" in wrong.text.partition('name="model.default"')[2].partition("</div>")[0]
        fields = await _load(client, "paths")
        hostile = await post(client, "/settings", **{**fields, "paths.denied": HOSTILE})
        assert hostile.status_code == 422
        assert "<img src=x" not in hostile.text
        assert file.read_text(encoding="utf-8") == TEXT
    assert b"sk-secret" not in (site.home / "journal" / "oxios.db").read_bytes()


async def test_an_edit_over_anothers_comes_back(tmp_path: Path) -> None:
    """With what was typed; theirs stays, and a second save puts ours in place."""
    async with _site(tmp_path) as (site, file), signed_in(site) as client:
        fields = await _load(client, "run")
        theirs = TEXT.replace("50", "70")
        file.write_text(theirs, encoding="utf-8")
        late = await post(client, "/settings", **{**fields, "run.turns_max": "60"})
        assert late.status_code == 409
        assert file.read_text(encoding="utf-8") == theirs
        again = _form_of(late.text, "run")
        assert again["run.turns_max"] == "60"
        assert (await post(client, "/settings", **again)).status_code == 303
        assert "turns_max = 60" in file.read_text(encoding="utf-8")
        text = (await client.get("/settings/raw")).text
        file.write_text(theirs, encoding="utf-8")
        late = await post(client, "/settings/raw", text="# ours\n", digest=hidden(text, "digest"))
        assert (late.status_code, "# ours" in late.text, "turns_max = 70" in late.text) == (409, True, True)
        assert file.read_text(encoding="utf-8") == theirs


async def test_a_name_is_added_to_a_table(tmp_path: Path) -> None:
    """A provider and a phase's route; a name that may not be there is refused."""
    async with _site(tmp_path) as (site, file), signed_in(site) as client:
        fields = await _load(client, "routing", "/settings?add=routing.phases.review")
        assert (await post(client, "/settings", **{**fields, "routing.phases.review": "acme/judge"})).status_code == 303
        assert site.kernel.supervisor.desk.engine.settings.routing.phases == {"review": "acme/judge"}
        fields = await _load(client, "providers", "/settings?add=providers.local")
        fields["providers.local.base_url"] = "http://127.0.0.1:1/v1"
        assert (await post(client, "/settings", **fields)).status_code == 303
        assert '[providers.local]\nbase_url = "http://127.0.0.1:1/v1"\n' in file.read_text(encoding="utf-8")
        assert "local" in site.kernel.supervisor.desk.engine.providers
        refused = await client.get("/settings", params={"add": "routing.phases.nonsense"})
        assert "is no name that may be added" in refused.text


async def test_the_text_is_checked_with_lines_and_written_whole(tmp_path: Path) -> None:
    """Wrong TOML and wrong values name their line and write nothing; comments are the person's own."""
    async with _site(tmp_path) as (site, file), signed_in(site) as client:
        shown = (await client.get("/settings/raw")).text
        assert "# mine, and it stays" in shown
        digest = hidden(shown, "digest")
        for text, said in (("[run\n", "line 1: not TOML"), ("# a\n[run]\nturns_max = 0\n", "line 3: run.turns_max")):
            wrong = await post(client, "/settings/raw", text=text, digest=digest)
            assert (wrong.status_code, said in wrong.text) == (422, True), wrong.text
        assert file.read_text(encoding="utf-8") == TEXT
        done = await post(client, "/settings/raw", text="# new\r\n[run]\r\nturns_max = 9\r\n", digest=digest)
        assert done.status_code == 303
        assert file.read_text(encoding="utf-8") == "# new\n[run]\nturns_max = 9\n"
        assert site.kernel.settings.run.turns_max == 9


async def test_who_may_not_change_settings_cannot(tmp_path: Path) -> None:
    """A viewer reads the form without a button, and no text; for a user there is no such page."""
    async with _site(tmp_path) as (site, file):
        for name, role, form, raw in (("eve", "viewer", 200, 403), ("bob", "user", 404, 404)):
            await site.kernel.handle(OWNER).call("users.create", {"name": name, "role": role})
            async with signed_in(site, name) as client:
                shown = await client.get("/settings")
                assert (shown.status_code, "Save run" in shown.text) == (form, False)
                assert (await client.get("/settings/raw")).status_code == raw
                digest = {"digest": "0" * 64}
                assert (await post(client, "/settings", **digest, unset="run.turns_max")).status_code == raw
                assert (await post(client, "/settings/raw", **digest, text="")).status_code == raw
        assert file.read_text(encoding="utf-8") == TEXT


async def test_a_broken_file_leads_to_its_text(tmp_path: Path) -> None:
    """Edited by hand into something wrong: the page shows what is wrong and lets it be mended."""
    async with _site(tmp_path) as (site, file), signed_in(site) as client:
        file.write_text("[run]\nturns_max = true\n", encoding="utf-8")
        shown = (await client.get("/settings")).text
        assert "line 2: run.turns_max" in shown
        mended = await post(client, "/settings/raw", text=TEXT, digest=hidden(shown, "digest"))
        assert mended.status_code == 303
        assert (await client.get("/settings")).status_code == 200


async def test_the_form_works_in_a_browser(tmp_path: Path) -> None:
    """One finds a setting while typing and keeps what was typed elsewhere; Enter saves; axe finds nothing."""
    async with _site(tmp_path) as (site, file), open_browser(site) as browser:
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/settings")
        await page.locator("[name='run.turns_max']").fill("77")
        await page.get_by_role("searchbox", name="Find a setting").fill("private_hosts")
        await expect(page.locator("[name='run.turns_max']")).to_be_hidden()
        await expect(page.locator("[name='network.private_hosts']")).to_be_visible()
        await page.get_by_role("searchbox", name="Find a setting").fill("")
        await page.locator("[name='run.turns_max']").press("Enter")
        await expect(page.get_by_text("Holds now: run.turns_max")).to_be_visible()
        assert "turns_max = 77 # enough" in file.read_text(encoding="utf-8")
        assert await looks_right(page) == []
        await page.goto(f"{site.url}/settings/raw")
        assert await looks_right(page) == []
        await page.get_by_label(str(file)).fill("[run]\nturns_max = 0\n")
        await page.get_by_role("button", name="Save").click()
        visitor.expected.append("422")
        await expect(page.get_by_role("alert")).to_contain_text("line 2")
        assert await looks_right(page) == []
