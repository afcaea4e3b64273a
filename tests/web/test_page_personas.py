"""The page of personas: who is active, and editing all of a persona by who may, over nobody's edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from kernel.handle.persona import active_persona
from kernel.persona import load_personas
from tests.web.browser import Site, open_browser, open_site
from tests.web.page_world import HOSTILE, hidden, looks_right, post, signed_in
from tests.world import OWNER

pytestmark = pytest.mark.anyio
FIELDS = {
    "id": "poet",
    "name": "Poet",
    "role": "writer",
    "description": "Writes verse.",
    "system_prompt": "You write verse.\r\nIt rhymes.",
    "personality_traits": "calm, exact",
    "enabled": "true",
    "model": "",
}


def _kept(site: Site, name: str) -> object:
    return load_personas(site.home).get(name)


async def test_an_operator_makes_edits_and_removes_a_persona(tmp_path: Path) -> None:
    """What was typed is what agents are told; the journal says who saved it."""
    async with open_site(tmp_path) as site, signed_in(site) as client:
        made = await post(client, "/personas", **FIELDS, before="")
        assert (made.status_code, made.headers["location"]) == (303, "/personas/poet")
        kept = load_personas(site.home)["poet"]
        assert (kept.system_prompt, kept.personality_traits) == ("You write verse.\nIt rhymes.", ("calm", "exact"))
        form = (await client.get("/personas/poet")).text
        without = {name: value for name, value in FIELDS.items() if name != "enabled"}
        edited = await post(client, "/personas", **without, before=hidden(form, "before"))
        assert edited.status_code == 303
        assert not load_personas(site.home)["poet"].enabled
        again = (await client.get("/personas/poet")).text
        gone = await post(client, "/personas/poet/reset", before=hidden(again, "before"))
        assert gone.headers["location"] == "/personas"
        assert _kept(site, "poet") is None
        kinds = [entry.kind for entry in await site.kernel.journal.read(principal=OWNER) if "persona" in entry.kind]
        assert kinds == ["persona.saved", "persona.saved", "persona.reset"]


async def test_what_is_wrong_stands_beside_its_field(tmp_path: Path) -> None:
    """And what was typed is still there, as text."""
    async with open_site(tmp_path) as site, signed_in(site) as client:
        wrong = await post(
            client, "/personas", **{**FIELDS, "id": "Not An Id", "name": HOSTILE, "model": "x"}, before=""
        )
        assert wrong.status_code == 422
        assert wrong.text.count('class="field-fault"') == 2
        assert 'aria-invalid="true"' in wrong.text
        assert HOSTILE not in wrong.text
        assert "&lt;script&gt;alert(1)" in wrong.text
        await post(client, "/personas", **{**FIELDS, "name": HOSTILE, "system_prompt": HOSTILE}, before="")
        for path in ("/personas", "/personas/poet"):
            shown = (await client.get(path)).text
            assert "&lt;script&gt;alert(1)" in shown
            assert "<img src=x" not in shown


async def test_an_edit_over_anothers_is_not_lost_and_loses_nothing(tmp_path: Path) -> None:
    """The form comes back with what was typed and what is there now; the file is the other's."""
    async with open_site(tmp_path) as site, signed_in(site) as client:
        await post(client, "/personas", **FIELDS, before="")
        before = hidden((await client.get("/personas/poet")).text, "before")
        await post(client, "/personas", **{**FIELDS, "name": "Theirs"}, before=before)
        late = await post(client, "/personas", **{**FIELDS, "name": "Mine"}, before=before)
        assert late.status_code == 409
        assert 'value="Mine"' in late.text
        assert "Theirs" in late.text
        assert load_personas(site.home)["poet"].name == "Theirs"


@pytest.mark.parametrize("role", ["viewer", "user"])
async def test_others_read_and_change_nothing(tmp_path: Path, role: str) -> None:
    """No form is offered, and one that is sent anyway is refused."""
    async with open_site(tmp_path) as site:
        await site.kernel.handle(OWNER).call("users.create", {"name": "bob", "role": role})
        async with signed_in(site, "bob") as client:
            shown = (await client.get("/personas/dev")).text
            assert "You are a working programmer" in shown
            assert 'action="/personas"' not in shown
            assert "New persona" not in (await client.get("/personas")).text
            for path, fields in (
                ("/personas", {**FIELDS, "before": ""}),
                ("/personas/dev/use", {}),
                ("/personas/none", {}),
                ("/personas/dev/reset", {"before": "x"}),
            ):
                assert (await post(client, path, **fields)).status_code in {403, 404}, path
        assert _kept(site, "poet") is None
        assert await active_persona(site.kernel.journal, "") == ""


async def test_a_switch_shows_in_every_tab_and_pages_are_accessible(tmp_path: Path) -> None:
    """Cards follow the journal; a built-in one is edited and brought back; axe finds nothing in any look."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/personas")
        other = await visitor.open("/personas")
        await page.get_by_role("button", name="Use Mentor").click()
        for tab in (page, other):
            await expect(tab.locator("#persona-mentor .badge-active")).to_be_visible()
        assert await looks_right(page) == []
        await page.goto(f"{site.url}/personas/mentor")
        assert await looks_right(page) == []
        await page.set_viewport_size({"width": 1280, "height": 800})
        await page.get_by_label("Name").fill("Tutor")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Tutor")
        await expect(other.locator("#persona-mentor h2")).to_have_text("Tutor")
        await page.get_by_role("button", name="Reset to what came along").click()
        await page.locator("#confirm").get_by_role("button", name="Reset").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Mentor")
        await expect(other.locator("#persona-mentor h2")).to_have_text("Mentor")
