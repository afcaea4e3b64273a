"""The pages of sign-in, users, tokens and the own account, in the real application."""

from __future__ import annotations

import re
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from kernel.boot import open_kernel
from kernel.settings import load_settings
from kernel.testing.provider import ScriptedProvider
from ouroboros.projection import PROJECTORS
from tests.web.doors_world import PASSWORD, URL
from tests.world import OWNER
from webui.app import make_app
from webui.asker import WebAsker
from webui.house import House, WebOptions, open_house

pytestmark = pytest.mark.anyio


@dataclass
class Place:
    house: House
    app: Litestar

    def browser(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(cast("Any", self.app), raise_app_exceptions=False)
        headers = {"accept": "text/html", "origin": URL}
        return httpx.AsyncClient(transport=transport, base_url=URL, headers=headers)

    async def follow(self, link: str) -> httpx.AsyncClient:
        """A browser that went where a link leads and posted its code, as the page's script does."""
        client = self.browser()
        path, _, code = link.removeprefix(URL).partition("#")
        assert (await client.get(path)).status_code == 200
        assert (await client.post(path, data={"code": code})).status_code == 303
        return client


@asynccontextmanager
async def open_place(root: Path) -> AsyncGenerator[Place]:
    settings = load_settings(home=root / "home", cwd=root, overrides={}, env={})
    asker, provider = WebAsker(), ScriptedProvider([])
    async with (
        open_kernel(
            settings, operator=OWNER, asker=asker, more_projectors=PROJECTORS, more_providers={"scripted": provider}
        ) as kernel,
        open_house(kernel, asker, WebOptions(url=URL, workspace=root)) as house,
    ):
        with warnings.catch_warnings():
            # How other pages declare their parameters is judged where they are tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            app = make_app(house)
        yield Place(house, app)


async def post(client: httpx.AsyncClient, path: str, **fields: Any) -> httpx.Response:
    """A form of our pages."""
    shown = (await client.get("/account")).text
    found = re.search(r'name="csrf" (?:content|value)="([0-9a-f]+)"', shown)
    assert found is not None, shown[:500]
    return await client.post(path, data={**fields, "csrf": found[1]})


def shown_code(answer: httpx.Response) -> str:
    """What the page shows once."""
    found = re.search(r"<code>([^<]+)</code>", answer.text)
    assert found is not None, answer.text[:3_000]
    return found[1]


async def test_the_sign_in_page_works_without_scripts(tmp_path: Path) -> None:
    """Its forms post name and password, or a code; nothing in it is inline; what was wrong is said, escaped."""
    async with open_place(tmp_path) as place, place.browser() as client:
        shown = await client.get("/sign-in", params={"next": '/runs?"><script>'})
        assert shown.status_code == 200
        assert shown.text.count('action="/sign-in"') == 2
        assert "<script>" not in shown.text
        assert not re.search(r"<script(?![^>]*\bsrc=)", shown.text)
        assert " style=" not in shown.text
        wrong = await client.post("/sign-in", data={"name": "<b>x</b>", "password": "y"})
        assert (wrong.status_code, "do not fit" in wrong.text) == (403, True)
        assert "<b>x" not in wrong.text


async def test_an_operator_adds_a_user_who_comes_in_and_sets_a_password(tmp_path: Path) -> None:
    """By the link of the page, once; afterwards by the password; the journal says who came in, how."""
    async with open_place(tmp_path) as place:
        operator = await place.follow(place.house.doors.issue_link())
        made = await post(operator, "/users", name="bob", role="user")
        assert made.status_code in {200, 201}, made.text
        link = shown_code(made)
        bob = await place.follow(link)
        assert (await bob.post("/sign-in", data={"code": link.partition("#")[2]})).status_code == 403
        short = await post(bob, "/account/password", new="short", again="short")
        assert (short.status_code, "12 to 256" in short.text) == (422, True)
        unlike = await post(bob, "/account/password", new=PASSWORD, again=PASSWORD + "x")
        assert "differ" in unlike.text
        old = dict(bob.cookies)
        set_now = await post(bob, "/account/password", new=PASSWORD, again=PASSWORD)
        assert set_now.headers["location"] == "/account?ended=0"
        assert dict(bob.cookies) != old
        assert "The password is set" in (await bob.get(set_now.headers["location"])).text
        other = place.browser()
        answer = await other.post("/sign-in", data={"name": "bob", "password": PASSWORD})
        assert answer.status_code == 303
        wrong = await post(bob, "/account/password", new=PASSWORD + "2", again=PASSWORD + "2", current="wrong")
        assert (wrong.status_code, "present password" in wrong.text) == (403, True)
        assert (
            await post(bob, "/account/password", new=PASSWORD + "2", again=PASSWORD + "2", current=PASSWORD)
        ).status_code == 303
        assert (await other.get("/account")).status_code == 303
        assert (await bob.get("/account")).status_code == 200
        await place.house.kernel.journal.flush()
        entries = await place.house.kernel.journal.read(kind="user.signed_in")
        assert [(entry.principal, (entry.payload or {})["way"]) for entry in entries] == [
            (OWNER, "link"),
            ("user:bob", "link"),
            ("user:bob", "password"),
        ]


async def test_only_who_administers_sees_and_changes_users(tmp_path: Path) -> None:
    """A user and a viewer are refused every form; a viewer sees the page, without a form in it."""
    async with open_place(tmp_path) as place:
        operator = await place.follow(place.house.doors.issue_link())
        await post(operator, "/users", name="bob", role="user")
        await post(operator, "/users", name="eve", role="viewer")
        bob = await place.follow(place.house.doors.issue_link("bob"))
        eve = await place.follow(place.house.doors.issue_link("eve"))
        assert (await bob.get("/users")).status_code == 403
        seen = await eve.get("/users")
        assert (seen.status_code, "/users/bob/remove" in seen.text) == (200, False)
        assert "/users/bob/remove" in (await operator.get("/users")).text
        for client in (bob, eve):
            for path in ("/users", "/users/bob/role", "/users/bob/remove", "/users/tester/link", "/tokens"):
                answer = await post(client, path, name="x", role="viewer", owner="tester", scope="admin")
                assert answer.status_code == 403, path
        assert [(one.name, one.role) for one in place.house.kernel.users.people()] == [
            ("bob", "user"),
            ("eve", "viewer"),
        ]
        assert place.house.kernel.users.tokens() == ()


async def test_a_role_is_changed_and_a_user_removed(tmp_path: Path) -> None:
    """Their browser is signed out with the removal."""
    async with open_place(tmp_path) as place:
        operator = await place.follow(place.house.doors.issue_link())
        await post(operator, "/users", name="bob", role="user")
        bob = await place.follow(place.house.doors.issue_link("bob"))
        assert (await post(operator, "/users/bob/role", role="viewer")).status_code == 303
        assert place.house.kernel.users.find("bob").role == "viewer"
        assert (await post(operator, "/users/bob/remove")).status_code == 303
        assert (await bob.get("/account")).status_code == 303
        again = await post(operator, "/users", name="bob", role="user")
        assert (again.status_code, "before" in again.text) == (409, True)


async def test_a_token_is_shown_once_and_revoked(tmp_path: Path) -> None:
    """The page that made it shows it, no other does; it opens the API until it is revoked."""
    async with open_place(tmp_path) as place:
        operator = await place.follow(place.house.doors.issue_link())
        none = await post(operator, "/tokens", owner="tester", name="ci")
        assert (none.status_code, "scopes" in none.text) == (422, True)
        made = await post(operator, "/tokens", owner="tester", name="<i>ci</i>", scope=["read", "run"], days="7")
        text = shown_code(made)
        assert text.startswith("oxios_")
        listed = (await operator.get("/users")).text
        assert text not in listed
        assert "&lt;i&gt;ci" in listed
        (token,) = place.house.kernel.users.tokens()
        assert token.scopes == {"read", "run"}
        bearer = {"authorization": f"Bearer {text}"}
        async with place.browser() as program:
            assert (await program.get("/account", headers=bearer)).status_code == 200
            assert (await program.post("/users", headers=bearer, data={"name": "x"})).status_code == 403
            await post(operator, f"/tokens/{token.id}/revoke")
            assert (await program.get("/account", headers=bearer)).status_code == 401


async def test_the_operators_name_needs_no_user(tmp_path: Path) -> None:
    """They sign in by a link that a form makes, and take a user's password away."""
    async with open_place(tmp_path) as place:
        operator = await place.follow(place.house.doors.issue_link())
        made = await post(operator, "/users/tester/link")
        again = await place.follow(shown_code(made))
        assert (await again.get("/users")).status_code == 200
        await post(operator, "/users", name="bob", role="viewer")
        bob = await place.follow(place.house.doors.issue_link("bob"))
        await post(bob, "/account/password", new=PASSWORD, again=PASSWORD)
        assert place.house.doors.has_password("bob")
        assert (await post(operator, "/users/bob/no-password")).status_code == 303
        assert not place.house.doors.has_password("bob")
        assert (await bob.get("/account")).status_code == 303
