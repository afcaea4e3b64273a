"""`web_fetch`, `web_search` and `get_search_results`, over a scripted server on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from kernel.capability.resource import Resource
from kernel.errors import AccessDenied, Invalid, LimitExceeded, NotFound, Unavailable
from kernel.gate.egress import Egress, private_hosts
from kernel.ids import Digest, Principal
from kernel.journal.appender import Appender
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.settings.tree import SearchSettings, Settings
from kernel.syscalls.declare import Services, ToolResult
from kernel.tools.web import PAGE_BYTES_MAX, REDIRECTS_MAX, web_fetch
from kernel.tools.websearch import PAGE_RESULTS, RESULTS_MAX, get_search_results, web_search
from tests.unit.tool_world import ToolWorld

pytestmark = pytest.mark.anyio

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names:
    """A resolver that sends every name to loopback, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append(host)
        return ("127.0.0.1",)


@asynccontextmanager
async def served(handler: Handler) -> AsyncGenerator[int]:
    """A server that answers everything by `handler`; gives its port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def fetcher(place: Path, port: int, *, covered: bool = True) -> tuple[ToolWorld, Names]:
    """A world in which `site.test` is loopback by leave of the operator, and every other name is not."""
    names = Names()

    def covers(_principal: Principal, _host: Resource) -> bool:
        return covered

    private = private_hosts((f"site.test:{port}", f"127.0.0.1:{port}"))
    return ToolWorld(place, Services((Egress, Egress(names, covers, private)))), names


async def fetched(place: Path, handler: Handler, path: str = "/", **arguments: int) -> ToolResult:
    async with served(handler) as port:
        world, _names = fetcher(place, port)
        return await world.call(web_fetch, url=f"http://site.test:{port}{path}", **arguments)


def answering(body: bytes | str, content_type: str = "text/html", status: int = 200, **headers: str) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(body=raw, status=status, headers={"Content-Type": content_type, **headers})

    return handler


async def test_a_page_comes_back_as_text_with_its_address_and_title(tmp_path: Path) -> None:
    """HTML is made readable; the first line says where it came from."""
    result = await fetched(tmp_path, answering("<title>T</title><h1>Hi</h1><script>x</script><p>there"))
    head, _, text = result.text.partition("\n\n")
    assert "site.test" in head
    assert "(200, text/html) T" in head
    assert text == "# Hi\n\nthere"
    assert not result.is_error


async def test_the_host_stays_in_the_request_and_the_address_is_the_pinned_one(tmp_path: Path) -> None:
    """The server sees its own name; the name was resolved once, by the gate."""
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.host)
        assert "Cookie" not in request.headers
        return web.Response(text="ok")

    async with served(handler) as port:
        world, names = fetcher(tmp_path, port)
        await world.call(web_fetch, url=f"http://site.test:{port}/")
        assert seen == [f"site.test:{port}"]
        assert names.asked == ["site.test"]


async def test_a_name_that_leads_inside_is_refused(tmp_path: Path) -> None:
    """Loopback is no public address, unless the operator named the host."""
    async with served(answering("secret")) as port:
        world, _names = fetcher(tmp_path, port)
        with pytest.raises(AccessDenied, match="not a public address"):
            await world.call(web_fetch, url=f"http://other.test:{port}/")


async def test_redirects_are_followed_and_every_hop_is_checked(tmp_path: Path) -> None:
    """One within what is allowed is followed; one to an inner host is refused, and never requested."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.host.split(':')[0]}{request.path}")
        port = request.host.split(":")[1]
        to = {"/a": "/b", "/evil": f"http://inner.test:{port}/secret"}.get(request.path)
        return web.Response(status=302, headers={"Location": to}) if to else web.Response(text="end")

    async with served(handler) as port:
        world, _names = fetcher(tmp_path, port)
        assert (await world.call(web_fetch, url=f"http://site.test:{port}/a")).text.endswith("end")
        with pytest.raises(AccessDenied):
            await world.call(web_fetch, url=f"http://site.test:{port}/evil")
        assert asked == ["site.test/a", "site.test/b", "site.test/evil"]


async def test_a_redirect_to_a_host_without_a_capability_is_refused(tmp_path: Path) -> None:
    """Another host needs its own capability, although the address would be allowed."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{request.host.split(':')[1]}/"})

    async with served(handler) as port:
        world, _names = fetcher(tmp_path, port, covered=False)
        with pytest.raises(AccessDenied, match="may not reach"):
            await world.call(web_fetch, url=f"http://site.test:{port}/")


@pytest.mark.parametrize(("hops", "followed"), [(REDIRECTS_MAX, True), (REDIRECTS_MAX + 1, False)])
async def test_redirects_are_counted(tmp_path: Path, hops: int, followed: bool) -> None:
    """As many as the bound are followed, one more ends in an error."""

    async def handler(request: web.Request) -> web.StreamResponse:
        left = int(request.path.strip("/"))
        return web.Response(status=301, headers={"Location": f"/{left - 1}"}) if left else web.Response(text="end")

    if followed:
        assert (await fetched(tmp_path, handler, f"/{hops}")).text.endswith("end")
    else:
        with pytest.raises(LimitExceeded, match="redirects"):
            await fetched(tmp_path, handler, f"/{hops}")


async def test_a_large_page_is_cut_and_that_is_said(tmp_path: Path) -> None:
    """What is beyond the bound is not read; the part that was can be paged through."""
    text = "".join(f"{number:07}\n" for number in range(PAGE_BYTES_MAX // 8 + 100))
    result = await fetched(tmp_path, answering(text, "text/plain"))
    assert "was cut" in result.text
    assert result.data["bytes"] == PAGE_BYTES_MAX


async def test_pages_of_a_long_text_join(tmp_path: Path) -> None:
    """Reading on from the told offset loses nothing, in any script."""
    text = "".join(f"{number} ünïcode 漢字\n" for number in range(2_000))
    parts: list[str] = []
    offset = 0
    async with served(answering(text, "text/plain; charset=utf-8")) as port:
        world, _names = fetcher(tmp_path, port)
        while True:
            result = await world.call(web_fetch, url=f"http://site.test:{port}/", offset=offset)
            body = result.text.partition("\n\n")[2]
            shown, mark, rest = body.rpartition("\n[characters ")
            parts.append(shown if mark else body)
            if not mark:
                break
            offset = int(rest.partition("offset=")[2].rstrip("]"))
    assert "".join(parts) == text


async def test_an_offset_beyond_the_text_is_an_error(tmp_path: Path) -> None:
    """It says how long the text is."""
    with pytest.raises(Invalid, match="has 5 characters"):
        await fetched(tmp_path, answering("12345", "text/plain"), offset=5)


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"\x89PNG....", "text/html", "a PNG image"),
        (b"\x00\x01", "application/octet-stream", "binary data"),
        (b"abc", "video/mp4", "video/mp4"),
        (b'{"a": 1}', "application/json", '{"a": 1}'),
        ("caf\xe9".encode("latin-1"), "text/plain; charset=latin-1", "café"),
        (b'<meta charset="latin-1">caf\xe9', "text/html", "café"),
        (b"caf\xe9", "text/plain; charset=nonsense", "caf\ufffd"),
    ],
)
async def test_what_is_no_text_is_said_and_charsets_are_honoured(
    tmp_path: Path, body: bytes, content_type: str, said: str
) -> None:
    """Types, magic numbers, declared and unknown charsets."""
    assert said in (await fetched(tmp_path, answering(body, content_type))).text


async def test_an_error_page_is_an_error_with_its_text(tmp_path: Path) -> None:
    """The model sees the status and what the server says."""
    result = await fetched(tmp_path, answering("nothing here", "text/plain", 404))
    assert result.is_error
    assert "(404, text/plain)" in result.text
    assert "nothing here" in result.text


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """A refused connection is an error in words."""
    async with served(answering("x")) as port:
        world, _names = fetcher(tmp_path, port)
    with pytest.raises(Unavailable, match="could not be fetched"):
        await world.call(web_fetch, url=f"http://site.test:{port}/")


class Kept:
    """A journal that holds the outcomes it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, stream: str, data: JsonObject) -> None:
        payload: JsonObject = {"data": data}
        seq = len(self.entries) + 1
        self.entries.append(Entry(seq, 0, Principal("agent:r1"), stream, "call.outcome", Digest("0"), payload))

    async def read(self, *, stream: str, kind: str, after: int = 0) -> list[Entry]:
        return [one for one in self.entries if one.stream == stream and one.kind == kind and one.seq > after][:3]


def searcher(place: Path, said: SearchSettings, kept: Kept | None = None) -> ToolWorld:
    settings = Settings(place / "home", search=said)
    return ToolWorld(place, Services((Settings, settings), (Appender, kept or Kept())))


def hits(count: int) -> list[dict[str, str]]:
    return [
        {"title": f"T{n} <b>x</b>", "url": f"https://h/{n}", "content": f"c{n} &amp;", "description": f"d{n}"}
        for n in range(1, count + 1)
    ]


async def test_searxng_is_asked_and_its_results_are_kept(tmp_path: Path) -> None:
    """The first page is shown, all results stand in the outcome, later pages ask nobody."""
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append({"path": request.path, **request.query})
        return web.json_response({"results": [*hits(25), {"url": "javascript:x"}, "odd"]})

    kept = Kept()
    async with served(handler) as port:
        world = searcher(tmp_path, SearchSettings("searxng", f"http://127.0.0.1:{port}/"), kept)
        found = await world.call(web_search, query="a b")
    assert asked == [{"path": "/search", "q": "a b", "format": "json"}]
    assert found.text.startswith("1. T1 x\n   https://h/1\n   c1 &\n2. ")
    assert f"{PAGE_RESULTS}. " in found.text
    assert "25 results; more with get_search_results page=2" in found.text
    kept.add("r1", {})
    kept.add("r1", found.data)
    search = str(found.data["search"])
    assert (await world.call(get_search_results, search=search, page=3)).text.startswith("21. T21 x")
    with pytest.raises(NotFound, match="has 3 pages"):
        await world.call(get_search_results, search=search, page=4)


async def test_brave_is_asked_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key travels in its header; at most so many results are kept."""
    monkeypatch.setenv("SEARCH_KEY", "k-123")

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.headers["X-Subscription-Token"] == "k-123"
        assert request.path == "/web/search"
        return web.json_response({"web": {"results": hits(RESULTS_MAX + 5)}})

    async with served(handler) as port:
        said = SearchSettings("brave", f"http://127.0.0.1:{port}", "SEARCH_KEY")
        found = await searcher(tmp_path, said).call(web_search, query="q")
    assert "   d1\n" in found.text
    assert isinstance(found.data["results"], list)
    assert len(found.data["results"]) == RESULTS_MAX


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (SearchSettings(), "oxios config set search.provider searxng"),
        (SearchSettings("searxng"), "search.url"),
        (SearchSettings("brave"), "search.key_env"),
        (SearchSettings("brave", key_env="NOT_SET_ANYWHERE"), "export NOT_SET_ANYWHERE"),
    ],
)
async def test_a_search_that_is_not_configured_says_how(tmp_path: Path, said: SearchSettings, why: str) -> None:
    """The error names the settings that are missing."""
    with pytest.raises(Unavailable) as refused:
        await searcher(tmp_path, said).call(web_search, query="q")
    assert why in refused.value.explain()


@pytest.mark.parametrize(
    ("handler", "why"),
    [(answering("no", "text/html", 403), "answered 403: no"), (answering("<html>", "text/html"), "not answer in JSON")],
)
async def test_an_engine_that_refuses_is_unavailable(tmp_path: Path, handler: Handler, why: str) -> None:
    """Its status and words are told."""
    async with served(handler) as port:
        world = searcher(tmp_path, SearchSettings("searxng", f"http://127.0.0.1:{port}"))
        with pytest.raises(Unavailable, match=why):
            await world.call(web_search, query="q")


async def test_an_answer_of_another_form_is_nothing_found(tmp_path: Path) -> None:
    """Odd JSON is no crash."""
    for odd in ("[]", '{"results": 3}', json.dumps({"results": [{"title": None}]})):
        async with served(answering(odd, "application/json")) as port:
            world = searcher(tmp_path, SearchSettings("searxng", f"http://127.0.0.1:{port}"))
            assert (await world.call(web_search, query="q")).text == "nothing found"


@pytest.mark.parametrize("search", ["r1.9", "r2.1", "", "nonsense", "r1.x"])
async def test_a_search_that_this_run_did_not_make_is_not_found(tmp_path: Path, search: str) -> None:
    """Unknown ids, and those of another run."""
    kept = Kept()
    kept.add("r2", {"search": "r2.1", "results": []})
    with pytest.raises((NotFound, Invalid)):
        await searcher(tmp_path, SearchSettings(), kept).call(get_search_results, search=search)
