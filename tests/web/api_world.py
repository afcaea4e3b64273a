"""The API over a whole house: a kernel, its application, and programs that call it with tokens of users."""

from __future__ import annotations

import socket
import warnings
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import anyio
import httpx
from litestar import Litestar

from kernel.boot import Kernel, open_kernel
from kernel.handle.people import new_token
from kernel.settings import load_settings
from kernel.testing.provider import ScriptedProvider, Turn
from ouroboros.projection import PROJECTORS
from oxios.server.http import HttpServer
from tests.world import OWNER
from webui.app import make_app
from webui.asker import WebAsker
from webui.house import House, open_house
from webui.options import WebOptions

URL: Final = "http://127.0.0.1:4200"
ALL: Final = ("read", "run", "approve", "admin")


@dataclass
class Api:
    """The application and who calls it."""

    house: House
    app: Litestar
    provider: ScriptedProvider
    workspace: Path
    url: str = URL
    tokens: list[str] = field(default_factory=list[str])
    server: HttpServer | None = None
    """Where it is served over real HTTP."""

    @property
    def kernel(self) -> Kernel:
        return self.house.kernel

    async def token(self, owner: str = "tester", *scopes: str) -> str:
        text, digest = new_token()
        arguments = {"owner": owner, "name": "test", "digest": digest, "scopes": list(scopes or ALL)}
        await self.kernel.handle(OWNER).call("tokens.create", arguments)
        return text

    async def program(self, owner: str = "tester", *scopes: str) -> httpx.AsyncClient:
        """A program with a token of the user's; of the operator's with every scope, where nothing is said."""
        transport = httpx.ASGITransport(cast("Any", self.app), raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {await self.token(owner, *scopes)}"}
        return httpx.AsyncClient(transport=transport, base_url=self.url, headers=headers, timeout=30)

    async def person(self, name: str, role: str = "user") -> httpx.AsyncClient:
        """Another user, and a program of theirs."""
        await self.kernel.handle(OWNER).call("users.create", {"name": name, "role": role})
        return await self.program(name)


@asynccontextmanager
async def open_api(
    root: Path, script: Sequence[Turn] = (), *, settings: Mapping[str, str] | None = None, url: str = URL
) -> AsyncGenerator[Api]:
    """The kernel of `root/home`, its agents in `root/work`, their model the script's."""
    workspace = root / "work"
    workspace.mkdir(exist_ok=True)
    configured = {"providers.scripted.base_url": "http://127.0.0.1:9/v1", "model.default": "scripted/model"}
    said = {**configured, **(settings or {})}
    loaded = load_settings(home=root / "home", cwd=root, overrides=said, env={})
    asker, provider = WebAsker(), ScriptedProvider(script)
    options = WebOptions(url=url, workspace=workspace)
    async with (
        open_kernel(
            loaded, operator=OWNER, asker=asker, more_projectors=PROJECTORS, more_providers={"scripted": provider}
        ) as kernel,
        open_house(kernel, asker, options) as house,
    ):
        with warnings.catch_warnings():
            # Pages leave it to Litestar to find what is handed to them by name.
            warnings.simplefilter("ignore", DeprecationWarning)
            app = make_app(house)
        yield Api(house, app, provider, workspace, url)


@asynccontextmanager
async def serve_api(
    root: Path, script: Sequence[Turn] = (), *, settings: Mapping[str, str] | None = None
) -> AsyncGenerator[Api]:
    """The same over real HTTP on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with open_api(root, script, settings=settings, url=url) as api, anyio.create_task_group() as tasks:
            server = api.server = HttpServer(api.app, bound)
            tasks.start_soon(server.run_until_ended)
            await server.up.wait()
            try:
                yield api
            finally:
                api.house.hub.close()
                server.end()
                await server.ended.wait()
                tasks.cancel_scope.cancel()
