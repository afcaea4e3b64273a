"""Who sees what: a viewer everything and no way to act, a user nothing of anybody else's, on pages and in streams."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import httpx
import pytest
from playwright.async_api import expect

from kernel.directive import Mount
from kernel.ids import user
from kernel.testing.provider import say
from ouroboros.sessionbook import Making, create
from tests.web.browser import Site, live, open_browser, open_site
from tests.web.filled_home import Filled, fill, script_of
from tests.world import MODEL, OWNER

pytestmark = pytest.mark.anyio
WAIT_S: Final = 10
ACTS: Final = """
() => [...document.querySelectorAll("main button, main form, main [hx-post], main [hx-put], main [hx-delete]")]
  .filter((one) => one.checkVisibility() && !one.closest("dialog"))
  .filter((one) => !one.matches("form") ||
    one.querySelector("button:enabled, input:enabled:not([type=hidden]), select:enabled"))
  .filter((one) =>
    one.matches("[hx-post], [hx-put], [hx-delete], form[method=post], [data-act], [data-resume], [data-edit]") ||
    (one.matches("button") && one.form?.matches("[hx-post], [method=post]")))
  .map((one) => one.outerHTML.slice(0, 160))
"""


@asynccontextmanager
async def _people(root: Path) -> AsyncGenerator[tuple[Site, Filled]]:
    async with open_site(root, [*script_of(), say("done")]) as site:
        for name, role in (("eve", "viewer"), ("bob", "user")):
            await site.kernel.handle(OWNER).call("users.create", {"name": name, "role": role})
        yield site, await fill(site)


@asynccontextmanager
async def _program(site: Site, name: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client that signed in as that user, as its browser would."""
    headers = {"origin": site.url, "accept": "text/html"}
    async with httpx.AsyncClient(base_url=site.url, headers=headers, timeout=WAIT_S) as client:
        code = site.link(name).partition("#")[2]
        assert (await client.post("/sign-in", data={"code": code})).status_code == 303
        yield client


async def _csrf(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" content="([0-9a-f]+)"', (await client.get("/")).text)
    assert found is not None
    return found[1]


def _posts(filled: Filled) -> dict[str, dict[str, str]]:
    """Every act of the pages, as forged by who may not."""
    return {
        "/seeds": {"seed": "do it"},
        f"/runs/{filled.waiting}/cancel": {},
        f"/runs/{filled.waiting}/steer": {"text": "stop"},
        f"/runs/{filled.waiting}/answer": {"text": "yes"},
        f"/runs/{filled.failed}/resume": {},
        f"/runs/{filled.finished}/fork": {"step": "1"},
        f"/runs/{filled.finished}/calls/{filled.finished}.1/undo": {},
        f"/approvals/{filled.approval}/answer": {"choice": "once"},
        "/approvals/standing/forget": {"key": "exec:rm"},
        "/capabilities/grant": {"to": "user:eve", "resource": "exec:**", "rights": "x"},
        f"/capabilities/{filled.capability}/revoke": {"root": "1"},
        "/chat": {"text": "do it"},
        f"/chat/{filled.session}/say": {"text": "do it"},
        "/users": {"name": "mallory", "role": "user"},
    }


async def test_a_viewer_sees_everything_and_can_do_nothing(tmp_path: Path) -> None:
    """No page has anything on it that acts; what is posted all the same is refused and changes nothing."""
    async with _people(tmp_path) as (site, filled), open_browser(site) as browser:
        page = await (await browser.visitor()).sign_in("eve")
        acts: list[str] = []
        menu = {item.label: item.path for item in site.house.views.navigation if item.path != "/chat"}
        for name, path in {**menu, **filled.pages}.items():
            if path.startswith("/chat"):
                continue
            await page.goto(f"{site.url}{path}")
            await live(page)
            found: list[str] = await page.evaluate(ACTS)
            harmless = ("/replay", "/audit/verify")
            acts += [f"{name}: {one}" for one in found if not any(path in one for path in harmless)]
        assert not acts, "\n".join(acts)
        await page.goto(f"{site.url}/runs/{filled.finished}")
        await expect(page.locator(".items")).to_contain_text("all is well")
        async with _program(site, "eve") as client:
            token = await _csrf(client)
            size = {table: len(await site.kernel.journal.rows(table)) for table in ("runs", "seeds", "sessions")}
            wrong: dict[str, int] = {}
            for path, fields in _posts(filled).items():
                answer = await client.post(path, data={**fields, "csrf": token})
                own_only = path.startswith(f"/chat/{filled.session}")
                if answer.status_code != (404 if own_only else 403):
                    wrong[path] = answer.status_code
            assert wrong == {}
            assert size == {table: len(await site.kernel.journal.rows(table)) for table in size}
        (asked,) = await site.kernel.journal.rows("approvals", {"id": filled.approval})
        assert asked["status"] == "pending"


async def test_a_user_finds_nothing_of_anybody_else(tmp_path: Path) -> None:
    """Each page and each act on another's is *not found*; lists, home, palette and inbox are empty."""
    async with _people(tmp_path) as (site, filled), _program(site, "bob") as client:
        token = await _csrf(client)
        wrong: dict[str, int] = {}
        single = [path for path in filled.pages.values() if "?" not in path]
        more = [f"/runs/{filled.finished}/{leaf}" for leaf in ("export", "steps/1", f"calls/{filled.finished}.1/diff")]
        streams = [f"/chat/{filled.session}/events", f"/audit/{filled.entry}/proof"]
        for path in [*single, *more, *streams]:
            status = (await client.get(path)).status_code
            if status != 404:
                wrong[path] = status
        for path, fields in _posts(filled).items():
            if not re.search(r"/[rspc]1[0-9a-z]{8}-", path):
                continue
            status = (await client.post(path, data={**fields, "csrf": token})).status_code
            if status not in {403, 404}:
                wrong[f"POST {path}"] = status
        assert wrong == {}
        shown = ""
        for path in (
            "/",
            "/runs",
            "/seeds",
            "/approvals?all=true",
            "/agents",
            "/audit",
            "/capabilities",
            "/chat/new",
        ):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            shown += answer.text
        shown += (await client.get("/palette?q=notes")).text + (await client.get("/bar")).text
        hidden = (
            filled.finished,
            filled.waiting,
            filled.first_seed,
            filled.session,
            filled.approval,
            filled.capability,
        )
        assert [one for one in hidden if one in shown] == []
        assert "Write notes" not in shown


async def test_a_users_event_stream_tells_of_nobody_else(tmp_path: Path) -> None:
    """While another's run goes on nothing is told; their own sight begins with what is theirs."""
    async with (
        _people(tmp_path) as (site, _filled),
        _program(site, "bob") as bob,
        _program(site, "eve") as eve,
        bob.stream("GET", "/events") as blind,
        eve.stream("GET", "/events") as seeing,
    ):
        hears, heard = blind.aiter_lines(), seeing.aiter_lines()
        for lines in (hears, heard):
            while await anext(lines):  # the greeting
                continue
        rows = await site.kernel.journal.rows("approvals", {"status": "pending"})
        await site.kernel.handle(OWNER).call("approvals.answer", {"approval": str(rows[0]["id"]), "choice": "deny"})
        with anyio.fail_after(WAIT_S):
            while "event: approvals" not in await anext(heard):
                continue
        told: list[str] = []
        with anyio.move_on_after(1):
            async for line in hears:
                told.append(line)  # noqa: PERF401 -- what came stands, where the time is up
        assert [line for line in told if line.startswith("event:")] == []


async def test_who_is_a_viewer_now_says_no_more_in_their_sessions(tmp_path: Path) -> None:
    """A session of the time when they were a user is there to be read; each act in it is refused, unrecorded."""
    async with _people(tmp_path) as (site, _filled):
        making = Making(user("bob"), (Mount(str(site.workspace)),), model=MODEL)
        session = await create(site.kernel.journal, making, site.kernel.clock.now_us())
        await site.kernel.handle(OWNER).call("users.change", {"name": "bob", "role": "viewer"})
        async with _program(site, "bob") as client:
            token = await _csrf(client)
            assert (await client.get(f"/chat/{session.id}")).status_code == 200
            size = site.kernel.journal.size
            for act, fields in (("say", {"text": "do it"}), ("rename", {"name": "mine"}), ("delete", {}), ("stop", {})):
                answer = await client.post(f"/chat/{session.id}/{act}", data={**fields, "csrf": token})
                assert answer.status_code == 403, act
            assert (await client.post("/chat", data={"text": "do it", "csrf": token})).status_code == 403
            assert site.kernel.journal.size == size
