"""Pages go over the wire packed, and packing tells nothing of a form's token."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.web.browser import Site, open_site
from webui.security import csrf

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _signed_in(site: Site) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url, "Accept": "text/html"}) as client:
        code = site.house.doors.issue_link().partition("#")[2]
        await client.post("/sign-in", data={"code": code})
        yield client


async def test_a_page_is_packed_for_who_takes_it(tmp_path: Path) -> None:
    """The same page, a third of the bytes or less; who does not say that it takes gzip gets it plain."""
    async with open_site(tmp_path) as site, _signed_in(site) as client:
        async with client.stream("GET", "/chat/new", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["content-encoding"] == "gzip"
            packed = b"".join([part async for part in answer.aiter_raw()])
        plain = await client.get("/chat/new", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    whole = gzip.decompress(packed).decode()
    assert whole.count("<") == plain.text.count("<")
    assert len(packed) * 3 < len(whole)


async def test_the_token_of_a_page_is_new_each_time_and_right_each_time(tmp_path: Path) -> None:
    """Two answers have no token in common; both are of the session, and of no other."""
    async with open_site(tmp_path) as site, _signed_in(site) as client:
        tokens = [(await client.get("/chat/new")).text.split('name="csrf" content="')[1].split('"')[0] for _ in "ab"]
        assert tokens[0] != tokens[1]
        for token in tokens:
            answer = await client.post("/chat", data={"text": ""}, headers={"X-CSRF-Token": token})
            assert answer.status_code < 400
        async with _signed_in(site) as other:
            refused = await other.post("/chat", data={"text": ""}, headers={"X-CSRF-Token": tokens[0]})
            assert refused.status_code == 403


def test_a_mask_hides_the_token_and_nothing_else_passes() -> None:
    """Masked and bare are taken; altered, cut, of another session, or no hexadecimal are not."""
    token = csrf.token_of("mine")
    masked = csrf.masked(token)
    assert csrf.right("mine", masked)
    assert csrf.right("mine", token)
    assert token not in masked
    assert csrf.masked("") == ""
    altered = ("0" if masked[0] != "0" else "1") + masked[1:]
    for wrong in (altered, masked[:-2], csrf.masked(csrf.token_of("other")), "", "zz" * 64):
        assert not csrf.right("mine", wrong), wrong
