"""Pages while much goes on: how soon a tool's outcome is seen, how soon a stop stops, what a page weighs and holds.

Guarantees: server, model, listening clients and browser are processes of their own; a tool's outcome counts from
the moment its entry was committed (as the server's own subscriber hears of it) until it stands in the page's DOM, a
stop from the press on the page until /proc has no process more of what the run had started. Both clocks are the
machine's.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
from playwright.async_api import Page, async_playwright

from kernel.clock import SystemClock
from tests.bench.measure import Figure
from tests.bench.stopping import TREE, descendants, lives, p99
from tests.bench.web_clients import crowd
from tests.bench.web_model import model
from tests.bench.web_server import Served, server
from tests.web.browser import CHROMIUM, FLAGS, live, weight

CLIENTS: Final = 500
RUNS: Final = 100
OTHER_RUNS: Final = 20
CALLS: Final = 100
STOPS: Final = 100
DOM_MS_MAX: Final = 100.0
STOP_MS_MAX: Final = 250.0
WEIGHT_KB_MAX: Final = 150.0
SHIFT_MAX: Final = 0.05
CLIENT_KB_MAX: Final = 200.0
_LONG_MS: Final = 300_000
_WATCH: Final = """
window.seen = {}; window.shift = 0; window.pressed = 0;
const look = () => { for (const one of document.querySelectorAll(".call.state-done[data-call]"))
  window.seen[one.dataset.call] ??= Date.now(); };
new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput)
  window.shift += one.value; }).observe({ type: "layout-shift", buffered: true });
document.addEventListener("click", (event) => {
  if (event.target.closest("#stop")) window.pressed = Date.now(); }, true);
"""


@dataclass(frozen=True, slots=True)
class Told:
    """Milliseconds of each outcome, and what the load was."""

    dom_ms: list[float]
    live: int
    cpu_share: float
    client_kb: float
    events_per_client: float


@dataclass(frozen=True, slots=True)
class Tab:
    """A browser that is signed in."""

    page: Page
    served: Served

    async def cookie(self) -> str:
        return "; ".join(f"{one.get('name')}={one.get('value')}" for one in await self.page.context.cookies())

    async def talk(self, text: str) -> None:
        """A new session, and its first message."""
        session = self.served.ask("session")
        await self.page.goto(f"{self.served.url}/chat/{session}")
        await live(self.page)
        await self.say(text)

    async def say(self, text: str) -> None:
        await self.page.fill("#message", text)
        await self.page.keyboard.press("Enter")


@asynccontextmanager
async def tab(served: Served) -> AsyncGenerator[Tab]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            context = await chromium.new_context(viewport={"width": 1400, "height": 900})
            page = await context.new_page()
            page.set_default_timeout(_LONG_MS)
            await page.add_init_script(_WATCH)
            await page.goto(served.link)
            await page.wait_for_url(lambda url: "/sign-in" not in url)
            yield Tab(page, served)
        finally:
            await chromium.close()


def settings_of(url: str) -> dict[str, str]:
    """The model server at `url` is the only model; as many runs as are asked for may be live."""
    return {"providers.bench.base_url": url, "model.default": "bench/any", "run.turns_max": "1000"}


async def told(at: Tab, *, runs: int, clients: int, calls: int) -> Told:
    """A run on the page makes `calls` calls, while others are live and many listen."""
    before = at.served.ask("resident")
    with crowd(at.served.url, clients, await at.cookie()) as listeners:
        await anyio.sleep(1.0)
        idle = at.served.ask("resident")
        _begin(at, runs)
        await at.talk(f"busy {calls} 0.1")
        begun = at.served.ask("resident")
        await at.page.wait_for_selector(".message-reply")
        ended, running = at.served.ask("resident"), at.served.ask("live")
        seen: dict[str, int] = await at.page.evaluate("window.seen")
    committed: dict[str, int] = at.served.ask("commits")
    return Told(
        [seen[call] - committed[call] / 1000 for call in seen],
        int(running),
        (ended["cpu_s"] - begun["cpu_s"]) / (ended["at_s"] - begun["at_s"]),
        (idle["bytes"] - before["bytes"]) / clients / 1024,
        listeners.heard.events / clients,
    )


async def stops(at: Tab, begun: anyio.Path, *, runs: int, times: int) -> list[float]:
    """Milliseconds from the press until no process is left that the run had started."""
    _begin(at, runs)
    taken: list[float] = []
    await at.talk("stop")
    for number in range(times):
        if number:
            await at.say("stop")
        await at.page.wait_for_selector(".call-command.state-running")
        with anyio.fail_after(60):
            while not (await begun.exists() and len(descendants(at.served.pid)) >= TREE):  # noqa: ASYNC110 -- another process makes it so
                await anyio.sleep(0.01)
        taken.append(await _stop(at))
        await begun.unlink(missing_ok=True)
        await at.page.wait_for_selector("#stop", state="hidden")
    return taken


def _begin(at: Tab, runs: int) -> None:
    """Runs that call a tool about once a second, each at a pace of its own: in step they would be one burst."""
    for number in range(runs):
        at.served.ask(f"run busy 100000 {0.75 + 0.5 * (number * 0.618 % 1):.3f}")


async def _stop(at: Tab) -> float:
    started = descendants(at.served.pid)
    gone_us: list[int] = []

    async def wait() -> None:
        with anyio.fail_after(30):
            while any(map(lives, started)):  # noqa: ASYNC110 -- other processes end it
                await anyio.sleep(0.002)
        gone_us.append(SystemClock().now_us())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await at.page.click("#stop")
    return gone_us[0] / 1000 - float(await at.page.evaluate("window.pressed"))


async def shifted(at: Tab, words: int) -> float:
    """The cumulative layout shift while a tool card fills and an answer of so many words is written."""
    await at.talk(f"words {words} 0.01")
    await at.page.evaluate("window.shift = 0")
    await at.page.wait_for_selector(".message-reply")
    await anyio.sleep(0.5)
    return float(await at.page.evaluate("window.shift"))


async def weights(at: Tab, paths: dict[str, str]) -> dict[str, float]:
    """KB over the wire of each page by its name, without a cache."""
    found: dict[str, float] = {}
    for name, path in paths.items():
        page = await at.page.context.new_page()
        found[name] = await weight(page, f"{at.served.url}{path}") / 1000
        await page.close()
    return found


async def measure(folder: Path, *, quick: bool) -> list[Figure]:
    """All of it, on one server."""
    scale = 10 if quick else 1
    with model() as url, server(folder, settings_of(url)) as served:
        async with tab(served) as at:
            shift = await shifted(at, 400)
            chat = at.page.url.removeprefix(served.url)
            weighed = await weights(at, {"chat": chat, "runs": "/runs", "audit": "/audit"})
            stopped = await stops(
                at, anyio.Path(folder / "work" / "begun"), runs=OTHER_RUNS // scale, times=STOPS // scale
            )
            heard = await told(at, runs=RUNS // scale, clients=CLIENTS // scale, calls=CALLS // scale)
    many = f"{heard.live} live runs, {CLIENTS // scale} listeners"
    return [
        Figure(f"tool outcome committed → in the DOM ({many}), p95", "ms", p95(heard.dom_ms), bound=DOM_MS_MAX),
        Figure(f"the same ({many}), median", "ms", statistics.median(heard.dom_ms)),
        Figure(f"CPU of the server meanwhile ({many})", "of a core", heard.cpu_share),
        Figure("events of a listener meanwhile", "events", heard.events_per_client),
        Figure("memory of an idle listener", "KB", heard.client_kb, bound=CLIENT_KB_MAX),
        Figure(f"Stop on the page → process tree gone, p99 of {len(stopped)}", "ms", p99(stopped), bound=STOP_MS_MAX),
        Figure("the same, median", "ms", statistics.median(stopped)),
        Figure("layout shift while an answer streams", "cumulative", shift, bound=SHIFT_MAX),
        *(Figure(f"page weight, {name}", "KB", size, bound=WEIGHT_KB_MAX) for name, size in weighed.items()),
    ]


def p95(times: list[float]) -> float:
    """The smallest of them that at least 95 of a hundred do not exceed."""
    return sorted(times)[-(-95 * len(times) // 100) - 1]


def live_figures(folder: Path, *, quick: bool) -> list[Figure]:
    """None where there is no Chromium or no /proc."""
    if not Path(CHROMIUM).exists() or not Path("/proc/self").exists():
        return []
    (folder / "live").mkdir()
    figures: Any = anyio.run(lambda: measure(folder / "live", quick=quick))
    return figures


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        for figure in live_figures(Path(root), quick="--quick" in sys.argv):
            print(figure.name, round(figure.value, 3), figure.unit, figure.met)
