"""`/bar`: the figures at the top of every page.

Guarantees: runs and approvals are those that the user may see. Money is what model requests cost since the
server started, and is told only to who sees everything: it is counted over all users.
"""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from kernel.handle.persona import active_persona
from kernel.persona import load_personas
from webui.desk import Desk
from webui.figures import spent_micro_usd
from webui.view import part

NAV = None
COUNTED_MAX: Final = 200


@get("/bar", include_in_schema=False)
async def bar(desk: Desk) -> Response[str]:
    journal, settings = desk.kernel.journal, desk.kernel.settings
    active = await active_persona(journal, settings.persona.default)
    persona = load_personas(settings.home).get(active)
    waiting = await desk.rows("approvals", {"status": "pending"}, limit=COUNTED_MAX)
    running = await desk.rows("runs", {"status": "running"}, limit=COUNTED_MAX)
    return part(
        desk,
        "bar/bar.html",
        persona=persona.name if persona else active,
        waiting=len(waiting),
        running=len(running),
        spent=spent_micro_usd(desk.house.metrics) if desk.sees_all else None,
    )


ROUTES = [bar]
