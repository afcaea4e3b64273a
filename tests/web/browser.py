"""The pages in a real browser: a server of the test's own, Chromium, and what must be true of every page.

`open_site` serves a home in a temporary folder on a free port; `open_browser` gives a browser that goes there.
Leaving `open_browser` fails the test where any page wrote an error to its console, threw one, broke the
content policy or asked another host for anything; a test that provokes such a thing names it in `expected`.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import warnings
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import quote

import anyio
from litestar import Litestar
from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, async_playwright

from kernel.boot import Kernel, open_kernel
from kernel.settings.load import Resolved, resolve
from kernel.testing.provider import ScriptedProvider, Turn
from ouroboros.projection import PROJECTORS
from oxios.server.http import HttpServer
from tests.world import OWNER
from webui.app import make_app
from webui.asker import WebAsker
from webui.house import House, WebOptions, open_house

CHROMIUM: Final = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
)
WAIT_MS: Final = 10_000
AXE: Final = Path(__file__).parent / "vendor" / "axe-core.js"
_WATCH: Final = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""
_GIVEN_UP: Final = ("htmx:sendAbort,", "htmx:afterRequest,")
"""What htmx says of a request that was under way when its page was left; of one that failed it says more."""
DRAWN: Final = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Until what was changed has been drawn: colours are judged as they are seen."""
Theme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Site:
    """A server that answers until the test is over."""

    url: str
    kernel: Kernel
    house: House
    workspace: Path
    home: Path

    def link(self, name: str = "", then: str = "/") -> str:
        """Signs the user of that name in once; without a name, the operator."""
        path, _, code = self.house.doors.issue_link(name).partition("#")
        return f"{self.url}{path}?next={quote(then)}#{code}"


@asynccontextmanager
async def open_site(
    root: Path,
    script: Sequence[Turn] = (),
    *,
    settings: Mapping[str, str] | None = None,
    provider: ScriptedProvider | None = None,
    port: int = 0,
) -> AsyncGenerator[Site]:
    """The kernel of `root/home`, its agents in `root/work`; a model `scripted/...` plays the script."""
    workspace, home = root / "work", root / "home"
    workspace.mkdir(exist_ok=True)

    def read() -> Resolved:
        return resolve(home=home, project=False, overrides=dict(settings or {}), env={})

    asker, scripted = WebAsker(), provider or ScriptedProvider(script)
    with socket.create_server(("127.0.0.1", port)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        options = WebOptions(url=url, workspace=workspace)
        with _plainly():
            async with (
                open_kernel(
                    read().settings,
                    operator=OWNER,
                    asker=asker,
                    more_projectors=PROJECTORS,
                    more_providers={"scripted": scripted},
                    reload_settings=read,
                ) as kernel,
                open_house(kernel, asker, options) as house,
                anyio.create_task_group() as tasks,
            ):
                server = HttpServer(_app(house), bound)
                tasks.start_soon(server.run_until_ended)
                await server.up.wait()
                yield Site(url, kernel, house, workspace, home)
                house.hub.close()
                server.end()
                await server.ended.wait()


@contextlib.contextmanager
def _plainly() -> Generator[None]:
    """A failure that task groups wrapped, as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        found = cast("Any", group)
        while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] -- of anything
            found = cast("Any", found.exceptions[0])  # pyright: ignore[reportUnknownMemberType] -- of anything
        raise found from None


def _app(house: House) -> Litestar:
    """How pages declare their parameters is judged where they are tested, not by each test in a browser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return make_app(house)


@dataclass
class Visitor:
    """A person's browser: cookies and pages of its own, and what went wrong on them."""

    site: Site
    context: BrowserContext
    faults: list[str] = field(default_factory=list[str])
    expected: list[str] = field(default_factory=list[str])
    """Parts of faults that the test provokes."""

    async def open(self, path: str = "") -> Page:
        """A new tab, at a page of the site where a path is given."""
        page = await self.context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"thrown on {page.url}: {error}"))
        page.on("request", self._on_request)
        if path:
            await page.goto(f"{self.site.url}{path}")
        return page

    async def sign_in(self, name: str = "", then: str = "/") -> Page:
        """A tab that followed a one-time link, live at `then`."""
        page = await self.open()
        await page.goto(self.site.link(name, then))
        await page.wait_for_url(lambda url: "/sign-in" not in url)
        await live(page)
        return page

    async def check(self) -> None:
        """Fails where a page did what none may do."""
        for page in self.context.pages:
            if page.url.startswith(self.site.url):
                await page.wait_for_load_state()
                self.faults += [f"policy on {page.url}: {one}" for one in await page.evaluate("window.violations")]
        left = [fault for fault in self.faults if not any(part in fault for part in self.expected)]
        assert not left, "\n".join(left)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_GIVEN_UP):
            self.faults.append(f"{message.type} {message.location.get('url', '')}: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site.url}/", "data:", "blob:")):
            self.faults.append(f"asked another host: {request.url}")


@dataclass(frozen=True, slots=True)
class Browser:
    """Chromium, for any number of people."""

    site: Site
    chromium: Chromium
    visitors: list[Visitor] = field(default_factory=list[Visitor])

    async def visitor(self, *, theme: Theme = "light", width: int = 1280, height: int = 800) -> Visitor:
        context = await self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce", locale="en-GB"
        )
        await context.add_init_script(_WATCH)
        visitor = Visitor(self.site, context)
        self.visitors.append(visitor)
        return visitor


@asynccontextmanager
async def open_browser(site: Site) -> AsyncGenerator[Browser]:
    """Fails on the way out where a page of any visitor did what none may do."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            browser = Browser(site, chromium)
            yield browser
            for visitor in browser.visitors:
                await visitor.check()
        finally:
            await chromium.close()


async def live(page: Page) -> None:
    """Wait until the page's scripts are at work and its events arrive."""
    await page.wait_for_selector('#connection[data-state="live"]')


async def axe(page: Page, *, only: Sequence[str] = ()) -> list[str]:
    """What axe-core finds against the page, one line a violation: by all of its rules, or by those named."""
    if not await page.evaluate("'axe' in window"):
        source = await anyio.Path(AXE).read_text(encoding="utf-8")
        await page.evaluate(f"() => {{ {source}\n }}")
    await page.evaluate(DRAWN)
    options = {"resultTypes": ["violations"], **({"runOnly": list(only)} if only else {})}
    result: dict[str, Any] = await page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{one['id']} ({one['impact']}): {node['target']} {node.get('failureSummary', '')}"
        for one in result["violations"]
        for node in one["nodes"]
    ]


async def widths(page: Page) -> tuple[int, int]:
    """How wide the page is, and how wide its window: more than that scrolls sideways."""
    wide, window = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return int(wide), int(window)


async def weight(page: Page, path: str) -> int:
    """Bytes that came over the wire for a page and all it loads, in a fresh browser; events are not counted."""
    session: Any = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []

    def count(event: dict[str, Any]) -> None:
        sizes.append(float(event["encodedDataLength"]))

    session.on("Network.loadingFinished", count)
    await page.goto(path)
    await live(page)
    await page.wait_for_selector("#facts-bar a")
    return int(sum(sizes))
