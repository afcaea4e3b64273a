"""Strangers at the doors: forged, replayed, cross-origin, oversized, misnamed; and who may come in."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.doors_world import PASSWORD, URL, open_site
from webui.house import WebOptions
from webui.security import csrf
from webui.security.headers import ALWAYS
from webui.security.limits import BODY_BYTES_MAX, FREE_TRIES, UPLOAD_BYTES_MAX

pytestmark = pytest.mark.anyio
JSON = {"accept": "application/json"}


async def who(client: httpx.AsyncClient) -> str:
    """Whom the server takes the client for; empty for nobody."""
    answer = await client.get("/", headers=JSON)
    return str(answer.json()["name"]) if answer.status_code == 200 else ""


async def token_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/")).json()["csrf"])


def cookies_of(client: httpx.AsyncClient) -> dict[str, str]:
    return dict(client.cookies)


# Signing in


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


async def test_forged_cookies_open_nothing(tmp_path: Path) -> None:
    """Neither guesses, nor the hash from the file, nor what is far too long."""
    async with open_site(tmp_path) as site:
        await site.signed_in()
        (hashed,) = json.loads((tmp_path / "home/keys/web-sessions.json").read_text())
        for forged in ("", "x", hashed, "x" * 10_000, "é"):
            async with site.browser() as client:
                headers = {"cookie": f"oxios-4200={forged}".encode()}
                assert (await client.get("/", headers=headers)).status_code == 303  # type: ignore[arg-type] -- raw bytes


# CSRF


async def test_an_act_carries_the_sessions_own_token(tmp_path: Path) -> None:
    """In the header or in the form's field; not another session's, not none, not twice, not in the address."""
    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        right, foreign = await token_of(client), await token_of(await site.signed_in())
        refused: tuple[dict[str, Any], ...] = (
            {},
            {"data": {"csrf": foreign}},
            {"headers": {"x-csrf-token": foreign}},
            {"headers": {"x-csrf-token": "é".encode()}},
            {"data": {"csrf": [right, right]}},
            {"params": {"csrf": right}},
            {"json": {"csrf": right}},
        )
        for more in refused:
            answer = await client.post("/act", **more)
            assert answer.status_code == 403, more
        assert site.calls == []
        answer = await client.post("/act", data={"csrf": right, "text": "ü"})
        assert (answer.status_code, answer.text) == (201, f"csrf={right}&text=%C3%BC")
        assert (await client.post("/act", headers={"x-csrf-token": right}, json={})).status_code == 201


async def test_a_token_of_before_the_sign_in_is_void(tmp_path: Path) -> None:
    """It is bound to the session that was drawn for."""
    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        before = await token_of(client)
        code = site.doors.issue_link().partition("#")[2]
        await client.post("/sign-in", data={"code": code})
        assert (await client.post("/act", data={"csrf": before})).status_code == 403


async def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the function that does, with the whole of both."""
    seen: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return False

    monkeypatch.setattr("webui.security.csrf.hmac.compare_digest", compare)
    assert not csrf.right("session", csrf.token_of("session"))
    assert seen == [(csrf.token_of("session").encode(),) * 2]


# Origin and host


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:4201", "localhost", "a@127.0.0.1:4200", "[::1", ""]
)
async def test_a_name_that_is_not_ours_is_refused(tmp_path: Path, host: str) -> None:
    """Whoever rebinds their own name to this machine gets nothing, the sign-in page included."""
    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        for path in ("/", "/sign-in", "/health"):
            answer = await client.get(path, headers={"host": host})
            assert answer.status_code in {400, 421}, path
            assert "csrf" not in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4200", "LOCALHOST:4200", "[::1]:4200", "box.lan", "box.lan:99", "in.lan:7"]
)
async def test_our_names_are_known(tmp_path: Path, host: str) -> None:
    """The address's own, the machine's others, and those of the settings, with their port or any."""
    options = WebOptions(url=URL, allowed_hosts=("box.lan", "in.lan:7"))
    async with open_site(tmp_path, options=options) as site, site.browser() as client:
        assert (await client.get("/sign-in", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": URL}, 201),
        ({"origin": URL, "sec-fetch-site": "same-origin"}, 201),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:4200.evil.example"}, 403),
        ({"origin": URL, "sec-fetch-site": "cross-site"}, 403),
        ({"origin": URL, "sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_an_act_comes_from_our_own_pages(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """Another origin is refused even with cookie and token, another port of this machine included."""
    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        token = await token_of(client)
        del client.headers["origin"]
        answer = await client.post("/act", data={"csrf": token}, headers=headers)
        assert answer.status_code == status
        assert len(site.calls) == (status == 201)


async def test_another_site_may_link_to_a_page_and_load_none(tmp_path: Path) -> None:
    """A person who follows a link arrives; an image, a frame or a script of another site does not."""
    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        there = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert (await client.get("/", headers=there)).status_code == 200
        for more in ({"sec-fetch-dest": "iframe"}, {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}):
            assert (await client.get("/", headers={**there, **more})).status_code == 403


# Sizes


async def test_a_body_is_bounded_however_it_comes(tmp_path: Path) -> None:
    """By what it says of itself, by what arrives, and by what its route takes; the last byte that fits is taken."""

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 65_536

    async with open_site(tmp_path) as site:
        client = await site.signed_in()
        headers = {"x-csrf-token": await token_of(client)}
        for size, status in ((BODY_BYTES_MAX, 201), (BODY_BYTES_MAX + 1, 413)):
            assert (await client.post("/act", content=b"x" * size, headers=headers)).status_code == status
        for count, status in ((BODY_BYTES_MAX // 65_536, 201), (BODY_BYTES_MAX // 65_536 + 1, 413)):
            assert (await client.post("/act", content=pieces(count), headers=headers)).status_code == status
        for size, status in ((10, 201), (11, 413)):
            assert (await client.post("/small", content=b"x" * size, headers=headers)).status_code == status
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert (await client.post("/act", content=pieces(17), headers=form)).status_code == 413
        with_files = {**headers, "content-type": "multipart/form-data; boundary=x"}
        for size, status in ((UPLOAD_BYTES_MAX, 201), (UPLOAD_BYTES_MAX + 1, 413)):
            assert (await client.post("/act", content=b"x" * size, headers=with_files)).status_code == status
        for lie in ("-1", "1e9", "9" * 30, "x"):
            answer = await client.post("/act", content=b"", headers={**headers, "content-length": lie})
            assert answer.status_code in {400, 413}


# Tokens


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("read", {"GET /api/runs"}),
        ("run", {"POST /api/runs/r1", "POST /v1/chat/completions"}),
        ("approve", {"POST /api/approvals/p1"}),
        ("admin", {"POST /api/settings", "POST /act"}),
    ],
)
async def test_a_token_does_what_its_scopes_say(tmp_path: Path, scope: str, allowed: set[str]) -> None:
    """No more; what is not known to be less needs admin. It needs no CSRF token, for no browser sends it unasked."""
    async with open_site(tmp_path) as site, site.program(await site.token("tester", scope)) as client:
        routes = ("/api/runs/r1", "/v1/chat/completions", "/api/approvals/p1", "/api/settings", "/act")
        wanted = [("GET", "/api/runs"), *(("POST", path) for path in routes)]
        done = {f"{method} {path}" for method, path in wanted if (await client.request(method, path)).is_success}
        assert done == allowed
        refused = await client.get("/api/runs") if scope != "read" else await client.post("/act")
        assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")


async def test_a_token_that_opens_nothing_is_refused_where_a_cookie_would_do(tmp_path: Path) -> None:
    """Revoked, mistyped, in the address, or of another kind: the cookie is not tried in its place."""
    async with open_site(tmp_path) as site:
        token = await site.token("tester", "read")
        client = await site.signed_in()
        bearer = {"authorization": f"bearer {token}"}
        assert (await client.get("/api/runs", headers=bearer)).status_code == 200
        (made,) = (await site.act("tokens.list"))["tokens"]
        assert site.doors.last_used(made["id"]) > 0
        await site.act("tokens.revoke", token=made["id"])
        for said in (f"Bearer {token}", "Bearer ", "Bearer x", "Bearer é"):
            answer = await client.get("/api/runs", headers={"authorization": said.encode()})  # type: ignore[arg-type] -- raw bytes
            assert answer.status_code == 401, said
    async with open_site(tmp_path) as site, site.browser() as stranger:
        token = await site.token("tester", "read")
        for name in ("token", "access_token", "bearer"):
            assert (await stranger.get("/api/runs", params={name: token})).status_code == 401


# Answers


async def test_every_answer_carries_the_policy(tmp_path: Path) -> None:
    """A page, a redirect, a refusal, a fault and what is not there; none is kept by the browser."""
    async with open_site(tmp_path) as site, site.browser() as client:
        answers = [
            await client.get("/sign-in"),
            await client.get("/"),
            await client.get("/api/runs"),
            await client.get("/nothing"),
            await client.get("/", headers={"host": "evil.example"}),
            await client.delete("/health"),
        ]
        assert [answer.status_code for answer in answers] == [200, 303, 401, 404, 421, 405]
        for answer in answers:
            assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS
            assert answer.headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in answer.headers


async def test_a_request_has_an_id(tmp_path: Path) -> None:
    """The client's own where it is one, else a new one."""
    async with open_site(tmp_path) as site, site.browser() as client:
        answer = await client.get("/sign-in", headers={"x-request-id": "abc-1"})
        assert answer.headers["x-request-id"] == "abc-1"
        found = {
            (await client.get("/sign-in", headers={"x-request-id": bad})).headers["x-request-id"] for bad in ("", "a b")
        }
        assert len(found) == 2
        assert "a b" not in found


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
