"""Pages of a home with a past: a session of 15,000 messages opened, others meanwhile, lists and searches.

Guarantees: the server is a process of its own, and was not asked for the session before; `meanwhile` is the latency
of another request, asked for again and again while the page is made and the session is then read whole.
"""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Final

import anyio
from playwright.sync_api import Page, sync_playwright

from tests.bench.measure import Figure
from tests.bench.web_home import MESSAGES_EACH, WORDS, fill
from tests.bench.web_live import p95
from tests.bench.web_server import Served, server
from tests.web.browser import CHROMIUM, FLAGS

TURNS: Final = 7_500
SESSIONS: Final = 5_000
OPEN_MS_MAX: Final = 1_000.0
LIST_MS_MAX: Final = 50.0
MEANWHILE_MS_MAX: Final = 100.0
ROOM_KB_MAX: Final = 4_096.0
ROOMS: Final = 40
_ASKED: Final = 200


class Visitor:
    """Asks as a signed-in browser would, and times it."""

    def __init__(self, served: Served, cookie: str) -> None:
        self._host = served.url.removeprefix("http://")
        self._headers = {"Cookie": cookie, "Accept": "text/html", "Accept-Encoding": "gzip"}

    def get(self, path: str) -> float:
        """Milliseconds of one request. Raises: RuntimeError, unless it is answered 200."""
        begun_s = time.perf_counter()
        connection = http.client.HTTPConnection(self._host)
        connection.request("GET", path, headers=self._headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered {answer.status}")
        return (time.perf_counter() - begun_s) * 1e3

    def hold(self, path: str) -> http.client.HTTPResponse:
        """A stream of events, open until the answer is closed; its first bytes were read."""
        connection = http.client.HTTPConnection(self._host)
        connection.request("GET", path, headers={**self._headers, "Accept": "text/event-stream"})
        answer = connection.getresponse()
        answer.readline()
        return answer

    @contextmanager
    def meanwhile(self, path: str) -> Generator[list[float]]:
        """Milliseconds of requests made one after the other while the block runs."""
        taken: list[float] = []
        over = Event()

        def ask() -> None:
            while not over.is_set():
                taken.append(self.get(path))
                over.wait(0.005)

        thread = Thread(target=ask)
        thread.start()
        try:
            yield taken
        finally:
            over.set()
            thread.join()


def measure(folder: Path, *, turns: int, sessions: int) -> list[Figure]:
    """Fills the home once, which takes a minute or two."""
    folder.mkdir(exist_ok=True)
    long = anyio.run(lambda: fill(folder, turns=turns, sessions=sessions))
    with server(folder) as served, _page(served) as page:
        cookie = "; ".join(f"{one.get('name')}={one.get('value')}" for one in page.context.cookies())
        visitor, path = Visitor(served, cookie), f"/chat/{long}"
        for _ in range(20):
            visitor.get("/bar")
        with visitor.meanwhile("/bar") as others:
            opened_ms = visitor.get(path)
            shown_ms = _shown(page, f"{served.url}{path}")
            visitor.get(f"{path}?part=details")
        again_ms = statistics.median(visitor.get(path) for _ in range(9))
        listed, sought = _lists(visitor)
        rooms_kb = _rooms_kb(served, visitor, page)
    name = f"session of {2 * turns:,} messages"
    return [
        Figure(f"{name}: its page, first time", "ms", opened_ms, bound=OPEN_MS_MAX),
        Figure(f"{name}: its page again", "ms", again_ms),
        Figure(f"{name}: first contentful paint in Chromium", "ms", shown_ms, bound=OPEN_MS_MAX),
        Figure(f"another request while it opens and is read whole, p95 of {len(others)}", "ms", p95(others),
               bound=MEANWHILE_MS_MAX),
        Figure("the same, slowest", "ms", max(others)),
        Figure(f"list of {sessions:,} sessions, {sessions * MESSAGES_EACH:,} messages, p95", "ms", p95(listed),
               bound=LIST_MS_MAX),
        Figure("search in them, p95", "ms", p95(sought), bound=LIST_MS_MAX),
        Figure("memory of an open room", "KB", rooms_kb, bound=ROOM_KB_MAX),
    ]  # fmt: skip


def _lists(visitor: Visitor) -> tuple[list[float], list[float]]:
    def timed(path: Callable[[int], str]) -> list[float]:
        return [visitor.get(path(number)) for number in range(_ASKED)]

    word = WORDS.__getitem__
    listed = timed(lambda _: "/chat?part=sessions")
    sought = timed(lambda n: f"/chat?part=sessions&q={word(n % 10)[: 3 + n % 4]}%20{word((n * 3 + 1) % 10)}")
    return listed, sought


def _rooms_kb(served: Served, visitor: Visitor, page: Page) -> float:
    page.goto(f"{served.url}/chat?part=sessions")
    links = [str(one.get_attribute("href")) for one in page.locator('a[href^="/chat/s"]').all()][:ROOMS]
    before = served.ask("resident")["bytes"]
    held = [visitor.hold(f"{link}/events") for link in links]
    grown = served.ask("resident")["bytes"] - before
    for one in held:
        one.close()
    return grown / len(held) / 1024


def _shown(page: Page, url: str) -> float:
    page.goto(url)
    page.wait_for_selector(".message-reply")
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
    return float(page.evaluate(paint))


@contextmanager
def _page(served: Served) -> Generator[Page]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = chromium.new_page()
        page.goto(served.link)
        page.wait_for_url(lambda url: "/sign-in" not in url)
        yield page
        chromium.close()


def past_figures(folder: Path, *, quick: bool) -> list[Figure]:
    """None where there is no Chromium or no /proc."""
    if not Path(CHROMIUM).exists() or not Path("/proc/self").exists():
        return []
    turns, sessions = (150, 100) if quick else (TURNS, SESSIONS)
    return measure(folder / "past", turns=turns, sessions=sessions)


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        for figure in past_figures(Path(root), quick="--quick" in sys.argv):
            print(figure.name, round(figure.value, 3), figure.unit, figure.met)
