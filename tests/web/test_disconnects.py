"""A thousand broken connections of one conversation: what a page put together is what a page loaded anew shows."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import aiohttp
import anyio
import pytest

from kernel.directive import Mount
from kernel.testing.provider import Turn, calls, say
from kernel.testing.provider import call as tool
from ouroboros.sessionbook import Making, create
from tests.cycle_world import TRIVIAL, told
from tests.web.browser import Site, open_site
from tests.world import MODEL, OWNER
from webui.queued import Said

pytestmark = pytest.mark.anyio
DISCONNECTS: Final = 1_000
TURNS: Final = 40
WAIT_S: Final = 100
PATIENCE_S: Final = 0.05
"""How long a connection is held where nothing comes."""
_VOID: Final = frozenset({"br", "img", "input", "hr", "use", "meta", "link"})
_TIMES: Final = re.compile(r"<time.*?</time>", re.DOTALL)


class Elements(HTMLParser):
    """The outermost elements of a fragment that have an id and a place, in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[str, int, str]] = []
        self._depth = 0
        self._open: tuple[str, int, int] | None = None
        self._lines = [0]
        for line in html.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._html = html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._open is None and given.get("id") and given.get("data-first"):
            self._open = str(given["id"]), int(given["data-first"] or 0), self._place()
            self._depth = 0
        if self._open is not None and tag not in _VOID:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if self._open is None or tag in _VOID:
            return
        self._depth -= 1
        if not self._depth:
            name, first, start = self._open
            self.found.append((name, first, self._html[start : self._place()]))
            self._open = None

    def _place(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column


@dataclass
class Page:
    """What a browser would hold: elements in their order, by id, as webui/static/transcript.js puts them."""

    items: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    seq: int = 0

    def place(self, html: str) -> None:
        for name, first, text in Elements(html).found:
            self.items[name] = first, text

    def shown(self) -> list[tuple[str, str]]:
        ordered = sorted(self.items.items(), key=lambda item: item[1][0])
        return [(name, _TIMES.sub("", text)) for name, (_, text) in ordered]


async def _events(body: aiohttp.StreamReader) -> AsyncIterator[tuple[int | None, str, str]]:
    seq, kind, data = None, "", list[str]()
    async for raw in body:
        line = raw.decode().rstrip("\n")
        if line.startswith("id: "):
            seq = int(line[4:])
        elif line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            data.append(line[6:])
        elif not line and kind:
            yield seq, kind, "\n".join(data)
            seq, kind, data = None, "", []


@asynccontextmanager
async def _signed_in(site: Site) -> AsyncGenerator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)  # the host is an address
    timeout = aiohttp.ClientTimeout(total=WAIT_S)
    async with aiohttp.ClientSession(site.url, cookie_jar=jar, headers={"Origin": site.url}, timeout=timeout) as client:
        code = site.link().partition("#")[2]
        async with client.post("/sign-in", data={"code": code}, allow_redirects=False) as answer:
            assert answer.status == 303
        yield client


async def _load(client: aiohttp.ClientSession, path: str) -> Page:
    """As a browser that opens the page has it before its script begins."""
    async with client.get(path, headers={"Accept": "text/html"}) as answer:
        html = await answer.text()
    after = re.search(r'data-after="(\d+)"', html)
    assert after is not None, html[:500]
    page = Page(seq=int(after[1]))
    page.place(html)
    return page


async def _look(client: aiohttp.ClientSession, session: str, page: Page, events: int) -> None:
    """Come with the last id, take at most so many events, and break the connection off."""
    path, headers = f"/chat/{session}/events?after={page.seq}", {"Last-Event-ID": str(page.seq)}
    async with client.get(path, headers=headers) as answer:
        assert answer.status == 200
        with anyio.move_on_after(PATIENCE_S):
            async for seq, kind, data in _events(answer.content):
                if kind == "item":
                    page.place(data)
                page.seq = seq or page.seq
                events -= 1
                if events < 0:
                    break
        answer.close()


def _script() -> list[Turn]:
    """Turns of three steps, with calls in parallel and text that streams."""
    script: list[Turn] = []
    for number in range(TURNS):
        written = tool("write", path=f"{number}.txt", content="x" * number)
        script += [told(TRIVIAL), calls(written, tool("ls", path="."), text="a\nb\n"), say(f"done\n{number}")]
    return script


async def test_a_thousand_disconnects_lose_and_double_nothing(tmp_path: Path) -> None:
    """Cut off after any event and come back with the last id: the folded page equals the one loaded anew."""
    chance = random.Random(11)
    async with open_site(tmp_path, _script()) as site:
        making = Making(OWNER, (Mount(str(site.workspace)),), model=MODEL, approve="auto")
        session = await create(site.kernel.journal, making, site.kernel.clock.now_us())
        talk = site.house.conversations.of(session)
        over = anyio.Event()

        async def work() -> None:
            for number in range(TURNS):
                await talk.say(Said(f"turn {number}"))
                await talk.wait()
            await site.kernel.journal.flush()
            over.set()

        async with _signed_in(site) as client, anyio.create_task_group() as group:
            page = await _load(client, f"/chat/{session.id}")
            group.start_soon(work)
            cuts = 0
            with anyio.fail_after(WAIT_S):
                while cuts < DISCONNECTS or not over.is_set():
                    await _look(client, session.id, page, chance.randint(0, 4))
                    cuts += 1
                await _look(client, session.id, page, 0)
            fresh = await _load(client, f"/chat/{session.id}")
            assert cuts >= DISCONNECTS
            assert [one for one in page.shown() if one[0] in fresh.items] == fresh.shown()
            assert len(fresh.items) > 20 * 5
        assert site.house.hub.followers <= 1  # the room, which lingers
