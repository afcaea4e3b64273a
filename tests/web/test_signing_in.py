"""Coming in by link and by password, staying, and going out: once, in time, by whom it was meant for."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.web.doors_world import PASSWORD, cookies_of, open_site, token_of, who
from webui.options import WebOptions
from webui.security.limits import FREE_TRIES

pytestmark = pytest.mark.anyio
JSON = {"accept": "application/json"}


async def test_a_stranger_reaches_the_sign_in_page_and_nothing_else(tmp_path: Path) -> None:
    """A browser is sent there and told where to come back to, htmx is told, a program gets a problem document."""
    async with open_site(tmp_path) as site, site.browser() as client:
        answer = await client.get("/api/runs")
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        answer = await client.get("/?part=x&y=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        answer = await client.get("/", headers={"hx-request": "true"})
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")
        answer = await client.post("/act")
        assert answer.status_code == 401
        assert site.calls == []
        assert (await client.get("/sign-in")).status_code == 200
        assert (await client.get("/health")).status_code == 200


async def test_a_link_signs_in_once(tmp_path: Path) -> None:
    """The operator comes in, the same code again is refused, and so is one that never was."""
    async with open_site(tmp_path) as site, site.browser() as one, site.browser() as other:
        code = site.doors.issue_link().partition("#")[2]
        answer = await one.post("/sign-in", data={"code": code})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert await who(one) == "tester"
        for bad in (code, "x" * 43, ""):
            assert (await other.post("/sign-in", data={"code": bad})).status_code == 403
        assert await who(other) == ""


async def test_a_link_that_ran_out_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is a moment younger does."""
    monkeypatch.setattr("webui.security.links.LINK_S", 0)
    async with open_site(tmp_path) as site, site.browser() as client:
        code = site.doors.issue_link().partition("#")[2]
        assert (await client.post("/sign-in", data={"code": code})).status_code == 403
        monkeypatch.setattr("webui.security.links.LINK_S", 900)
        code = site.doors.issue_link().partition("#")[2]
        assert (await client.post("/sign-in", data={"code": code})).status_code == 303


async def test_a_link_of_a_removed_user_opens_nothing(tmp_path: Path) -> None:
    """Not even when somebody of the same name is added afterwards."""
    async with open_site(tmp_path) as site, site.browser() as client:
        await site.act("users.create", name="bob")
        code = site.doors.issue_link("bob").partition("#")[2]
        await site.act("users.remove", name="bob")
        await site.act("users.create", name="bob", again=True)
        assert (await client.post("/sign-in", data={"code": code})).status_code == 403
        assert await who(client) == ""


async def test_a_password_signs_in_and_a_wrong_one_says_nothing(tmp_path: Path) -> None:
    """A wrong password, an unknown name and a user without one are the same answer."""
    async with open_site(tmp_path) as site, site.browser() as client:
        await site.act("users.create", name="bob")
        await site.act("users.create", name="eve")
        await site.set_password("bob")
        told: set[str] = set()
        for name, password in (("bob", "wrong"), ("nobody", PASSWORD), ("eve", PASSWORD), ("eve", "")):
            answer = await client.post("/sign-in", data={"name": name, "password": password})
            assert answer.status_code == 403
            told.add(answer.text)
        assert len(told) == 1
        answer = await client.post("/sign-in", data={"name": "bob", "password": PASSWORD, "next": "/runs"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        assert await who(client) == "bob"


@pytest.mark.parametrize(
    "after",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\nb", "x", "/sign-in"],
)
async def test_nobody_is_sent_elsewhere_after_signing_in(tmp_path: Path, after: str) -> None:
    """Only to a path of this server."""
    async with open_site(tmp_path) as site, site.browser() as client:
        code = site.doors.issue_link().partition("#")[2]
        answer = await client.post("/sign-in", data={"code": code, "next": after})
        assert answer.headers["location"] == "/"


async def test_tries_are_bounded_by_address_and_by_name(tmp_path: Path) -> None:
    """After the free ones the right password waits too, from that address and for that name; others do not."""
    async with open_site(tmp_path) as site, site.browser() as client, site.browser("192.0.2.9") as other:
        await site.act("users.create", name="bob")
        await site.set_password("bob")
        await site.set_password("tester")
        wrong = {"name": "bob", "password": "wrong"}
        tries = [(await client.post("/sign-in", data=wrong)).status_code for _ in range(FREE_TRIES + 1)]
        assert tries == [403] * FREE_TRIES + [429]
        right = {"name": "bob", "password": PASSWORD}
        answer = await client.post("/sign-in", data=right)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert (await other.post("/sign-in", data=right)).status_code == 429
        assert (await other.post("/sign-in", data={"name": "tester", "password": PASSWORD})).status_code == 303


# Sessions


async def test_the_cookie_is_for_this_server_alone(tmp_path: Path) -> None:
    """HttpOnly, SameSite=Strict, no domain; Secure and __Host- behind https, and not without."""
    secure = WebOptions(url="https://oxios.example", secure_cookies=True)
    async with open_site(tmp_path) as site, site.browser() as client:
        code = site.doors.issue_link().partition("#")[2]
        said = (await client.post("/sign-in", data={"code": code})).headers["set-cookie"]
        assert said.startswith("oxios-4200=")
        for part in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert part.lower() in said.lower()
        assert "secure" not in said.lower()
    async with open_site(tmp_path, options=secure) as site, site.browser(url="https://oxios.example") as client:
        code = site.doors.issue_link().partition("#")[2]
        answer = await client.post("/sign-in", data={"code": code})
        assert answer.headers["set-cookie"].startswith("__Host-oxios-443=")
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "domain" not in answer.headers["set-cookie"].lower()
        assert "max-age" in answer.headers["strict-transport-security"]
        assert await who(client) == "tester"


async def test_a_session_survives_a_restart_and_ends_with_the_sign_out(tmp_path: Path) -> None:
    """Its file holds no secret that opens anything, and only its owner reads it."""
    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        kept = cookies_of(client)
        file = tmp_path / "home/keys/web-sessions.json"
        (secret,) = kept.values()
        assert secret not in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with open_site(tmp_path) as site, site.browser() as client:
        client.cookies.update(kept)
        assert await who(client) == "tester"
        answer = await client.post("/sign-out", data={"csrf": await token_of(client)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        client.cookies.update(kept)
        assert await who(client) == ""


async def test_a_planted_session_is_worth_nothing_after_the_sign_in(tmp_path: Path) -> None:
    """A new one is begun, and the one that the browser brought has ended, also where it was somebody's."""
    async with open_site(tmp_path) as site, site.browser() as victim:
        await site.act("users.create", name="eve")
        planted = cookies_of(await site.signed_in("eve"))
        for name, secret in planted.items():
            victim.cookies.set(name, secret, domain="127.0.0.1", path="/")
        code = site.doors.issue_link().partition("#")[2]
        await victim.post("/sign-in", data={"code": code})
        assert await who(victim) == "tester"
        assert cookies_of(victim) != planted
        async with site.browser() as attacker:
            attacker.cookies.update(planted)
            assert await who(attacker) == ""


@pytest.mark.parametrize("limit", ["IDLE_S", "AGE_S"])
async def test_a_session_ends_by_idleness_and_by_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Before that it lives."""
    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        assert await who(client) == "tester"
        monkeypatch.setattr(f"webui.security.sessions.{limit}", -1)
        assert await who(client) == ""


async def test_a_removed_users_session_and_token_are_dead_at_once(tmp_path: Path) -> None:
    """And stay so when somebody gets the name again; a change of role shows in the next request."""
    async with open_site(tmp_path) as site:
        await site.act("users.create", name="bob")
        client, token = await site.signed_in("bob"), await site.token("bob", "read")
        assert (await client.get("/")).json()["role"] == "user"
        await site.act("users.change", name="bob", role="viewer")
        assert (await client.get("/")).json()["role"] == "viewer"
        await site.act("users.remove", name="bob")
        await site.act("users.create", name="bob", again=True)
        assert await who(client) == ""
        async with site.program(token) as program:
            assert (await program.get("/api/runs")).status_code == 401


async def test_a_new_password_ends_the_sessions_of_before(tmp_path: Path) -> None:
    """Whoever set it; those that are begun afterwards live."""
    async with open_site(tmp_path) as site:
        await site.act("users.create", name="bob")
        before = await site.signed_in("bob")
        assert await who(before) == "bob"
        await site.set_password("bob")
        assert await who(before) == ""
        assert await who(await site.signed_in("bob")) == "bob"


async def test_forged_cookies_open_nothing(tmp_path: Path) -> None:
    """Neither guesses, nor the hash from the file, nor what is far too long."""
    async with open_site(tmp_path) as site:
        await site.signed_in()
        (hashed,) = json.loads((tmp_path / "home/keys/web-sessions.json").read_text())
        for forged in ("", "x", hashed, "x" * 10_000, "é"):
            async with site.browser() as client:
                headers = {"cookie": f"oxios-4200={forged}".encode()}
                assert (await client.get("/", headers=headers)).status_code == 303  # type: ignore[arg-type] -- raw bytes


async def test_no_secret_of_the_doors_is_in_the_home_in_the_clear(tmp_path: Path) -> None:
    """Neither a link's code, nor a session's secret, nor a token's text, in any file."""
    async with open_site(tmp_path) as site:
        code = site.doors.issue_link().partition("#")[2]
        token = await site.token("tester", "read")
        (cookie,) = cookies_of(await site.signed_in()).values()
        secrets = [code, token, cookie]
        _require_none(tmp_path, secrets)
    _require_none(tmp_path, secrets)


def _require_none(root: Path, secrets: list[str]) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in held], path
