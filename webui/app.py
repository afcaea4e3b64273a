"""The application: pages and API found by a package walk, and what stands around every request.

Guarantees: two routes of one path and method stop the start; a request has an id, which is in its
answer and in every line that is logged about it.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any, Final

from litestar import Litestar, Request
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler
from litestar_htmx import HTMXRequest

import webui.api
import webui.pages
from kernel.errors import OxiosError
from webui import faults
from webui.assets import static_file
from webui.desk import Desk
from webui.house import House
from webui.navigation import NavItem, sort_key
from webui.openai.threads import Threads
from webui.rest.once import Once
from webui.security.csrf import masked
from webui.security.guard import Guard
from webui.security.headers import security_headers

BODY_BYTES_MAX: Final = 24 * 1024 * 1024
"""Of any request; the guard is stricter where less will do."""


def make_app(house: House) -> Litestar:
    """Raises: KernelBug, where two routes claim one path."""
    pages, api = _modules(webui.pages, ".page"), _modules(webui.api, "")
    house.views.navigation = _navigation(pages)
    routes: list[ControllerRouterHandler] = [
        route for module in (*pages, *api) for route in getattr(module, "ROUTES", [])
    ]
    config = AppConfig(
        route_handlers=[*routes, static_file],
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        exception_handlers={
            OxiosError: faults.on_oxios_error,
            HTTPException: faults.on_http_exception,
            Exception: faults.on_anything,
        },
        middleware=[Guard],
        before_request=follow_settings,
        before_send=[security_headers(secure=house.options.secure_cookies)],
        request_class=HTMXRequest,
        request_max_body_size=BODY_BYTES_MAX,
        state=State({"house": house, "once": Once(house.kernel.clock), "threads": Threads(house.kernel.journal)}),
        openapi_config=None,  # `webui.api.schema` serves the document; its pages would load from elsewhere
        logging_config=None,
    )
    return Litestar.from_config(config)


async def follow_settings(request: Request[Any, Any, State]) -> None:
    """Take up settings whose file has changed, so that an answer shows them as they are."""
    await request.app.state.house.kernel.refresh()


def provide_desk(request: Request[Any, Any, State]) -> Desk:
    """The user's side of the kernel, for this request."""
    headers = request.headers
    asks_for_part = "hx-request" in headers and headers.get("hx-boosted") != "true"
    return Desk(
        house=request.app.state.house,
        signed_in=request.state.get("user"),
        part=asks_for_part and headers.get("hx-history-restore-request") != "true",
        csrf=masked(str(request.state.get("csrf", ""))),
        path=request.url.path,
        packs=request.method == "GET" and "gzip" in headers.get("accept-encoding", ""),
    )


def _modules(package: ModuleType, leaf: str) -> list[ModuleType]:
    names = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    return [importlib.import_module(f"{package.__name__}.{name}{leaf}") for name in sorted(names)]


def _navigation(pages: list[ModuleType]) -> tuple[NavItem, ...]:
    items = [module.NAV for module in pages if getattr(module, "NAV", None)]
    return tuple(sorted(items, key=sort_key))
