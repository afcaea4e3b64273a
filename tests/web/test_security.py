"""Strangers at the doors: forged, cross-origin, oversized, misnamed requests, and what every answer says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.doors_world import URL, open_site, token_of
from webui.options import WebOptions
from webui.security import csrf
from webui.security.headers import ALWAYS
from webui.security.limits import BODY_BYTES_MAX, UPLOAD_BYTES_MAX

pytestmark = pytest.mark.anyio


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
