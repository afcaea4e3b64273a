"""For machines that watch: `/health`, `/ready`, `/metrics`.

Guarantees: `/health` says that the process answers, and nothing else; `/ready` says of each part that work
needs whether it is there, and not why (`oxios doctor` does), with 503 where one is not. Both may be asked
by anybody, as often as they like: the sandbox is tried now and then. `/metrics` tells what agents do and
cost, so it is for who may see everything: a token, as Prometheus' `authorization` setting sends it. An
address is no leave: behind a proxy on this machine, all requests come from it.
It counts since the server started; `oxios metrics` counts the whole journal.

Source: Prometheus text format 0.0.4; RFC-0015.
"""

from __future__ import annotations

from typing import Final

from litestar import Response, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from kernel.errors import AccessDenied
from webui.desk import Desk

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_FRESH: Final = {"Cache-Control": "no-store"}


@get("/health", include_in_schema=False, sync_to_thread=False)
def health() -> Response[dict[str, str]]:
    return Response({"status": "ok"}, headers=_FRESH)


@get("/ready", include_in_schema=False)
async def ready(desk: Desk) -> Response[dict[str, object]]:
    checks = await desk.house.readiness.checks()
    good = all(checks.values())
    said = {name: "ok" if works else "failed" for name, works in checks.items()}
    return Response(
        {"status": "ready" if good else "not ready", "checks": said},
        status_code=HTTP_200_OK if good else HTTP_503_SERVICE_UNAVAILABLE,
        headers=_FRESH,
    )


@get("/metrics", include_in_schema=False, sync_to_thread=False)
def metrics(desk: Desk) -> Response[bytes]:
    """Raises: AccessDenied, for who may not see everything."""
    _ = desk.user
    if not desk.sees_all:
        raise AccessDenied(
            "metrics tell of all agents", layer="capability", need="kernel:audit", remedy="ask the operator for a token"
        )
    return Response(desk.house.metrics.exposition(), media_type=_TEXT, headers=_FRESH)


ROUTES = [health, ready, metrics]
