"""A kernel behind the guard: the ways in, and a few routes that say who came."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import httpx
from litestar import Litestar, Request, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from kernel.boot import Kernel
from kernel.errors import OxiosError
from kernel.handle.people import new_token
from tests.world import OWNER, open_world
from webui import faults
from webui.options import WebOptions
from webui.pages.sign_in import page as sign_in
from webui.security.doors import Doors, open_doors
from webui.security.guard import Guard
from webui.security.headers import security_headers

URL: Final = "http://127.0.0.1:4200"
PASSWORD: Final = "correct horse battery"
Fields = Mapping[str, Any]


class PlainViews:
    """A page as its template's name and what it says went wrong."""

    def render(self, template: str, **model: Any) -> str:
        return f"{template} {model.get('wrong', '')} {model.get('problem', '')}"


@dataclass
class Site:
    """The application, and browsers and programs that call it."""

    kernel: Kernel
    doors: Doors
    app: Litestar
    calls: list[str] = field(default_factory=list[str])
    """What reached a handler that changes something."""

    def browser(self, address: str = "192.0.2.1", url: str = URL) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(cast("Any", self.app), raise_app_exceptions=False, client=(address, 40_000))
        headers = {"accept": "text/html"}
        return httpx.AsyncClient(transport=transport, base_url=url, headers=headers)

    def program(self, token: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(cast("Any", self.app), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=URL, headers={"authorization": f"Bearer {token}"})

    async def act(self, syscall: str, /, **arguments: Any) -> Fields:
        return (await self.kernel.handle(OWNER).call(syscall, arguments)).data

    async def token(self, owner: str, *scopes: str) -> str:
        text, digest = new_token()
        await self.act("tokens.create", owner=owner, name="test", digest=digest, scopes=list(scopes))
        return text

    async def set_password(self, name: str, password: str = PASSWORD) -> None:
        await self.act("users.password", name=name, ticket=self.kernel.passwords.deposit(password))

    async def signed_in(self, name: str = "") -> httpx.AsyncClient:
        """A browser that followed a link; its requests carry what our pages would."""
        client = self.browser()
        code = self.doors.issue_link(name).partition("#")[2]
        answer = await client.post("/sign-in", data={"code": code}, headers={"origin": URL})
        assert answer.status_code == 303, answer.text
        client.headers["origin"] = URL
        return client


async def who(client: httpx.AsyncClient) -> str:
    """Whom the server takes the client for; empty for nobody."""
    answer = await client.get("/", headers={"accept": "application/json"})
    return str(answer.json()["name"]) if answer.status_code == 200 else ""


async def token_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/")).json()["csrf"])


def cookies_of(client: httpx.AsyncClient) -> dict[str, str]:
    return dict(client.cookies)


@asynccontextmanager
async def open_site(root: Path, *, options: WebOptions | None = None) -> AsyncGenerator[Site]:
    async with open_world(root) as world:
        doors = await open_doors(world.kernel, options or WebOptions(url=URL))
        site = Site(world.kernel, doors, Litestar())
        site.app = _app(site)
        yield site
        doors.close()


def _app(site: Site) -> Litestar:
    @get("/")
    async def home(request: Request[Any, Any, Any]) -> dict[str, Any]:
        user = request.state["user"]
        return {"name": user.name, "role": user.role, "csrf": request.state["csrf"]}

    @get("/api/runs")
    async def runs(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return {"name": request.state["user"].name, "role": request.state["user"].role}

    @post(["/act", "/api/runs/r1", "/api/approvals/p1", "/api/settings", "/v1/chat/completions"])
    async def act(request: Request[Any, Any, Any]) -> str:
        body = await request.body()
        site.calls.append(f"{request.url.path} {len(body)}")
        return body.decode()[:100]

    @post("/small", opt={"body_bytes_max": 10})
    async def small(request: Request[Any, Any, Any]) -> str:
        site.calls.append(str(len(await request.body())))
        return "ok"

    @get("/health")
    async def health() -> str:
        return "ok"

    house = State({"doors": site.doors, "views": PlainViews()})
    return Litestar(
        [home, runs, act, small, health, *sign_in.ROUTES],
        middleware=[Guard],
        before_send=[security_headers(secure=site.doors.secure)],
        exception_handlers={
            OxiosError: faults.on_oxios_error,
            HTTPException: faults.on_http_exception,
            Exception: faults.on_anything,
        },
        state=State({"house": house}),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )
