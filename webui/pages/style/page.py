"""`/style`: the parts of layout/macros.html with sample content, for who writes pages.

Guarantees: shown to who sees everything; does nothing and reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litestar import Response, get

from kernel.errors import NotFound
from webui.desk import Desk
from webui.view import page

NAV = None

STATES: Final = (
    "running", "pending", "paused", "interrupted", "done", "passed", "failed", "denied", "revoked", "in doubt", "draft",
)  # fmt: skip
DIFF: Final = (
    ("@", "@@ limits.py 12 @@"),
    (" ", "class Limits:"),
    ("-", "    calls_max = 100"),
    ("+", "    calls_max = 250"),
    ("+", "    seconds_max = 900"),
    (" ", "    depth_max = 4"),
)
CODE: Final = """\
from kernel.boot import open_kernel

async with open_kernel(settings, operator=user("ada")) as kernel:
    run = await kernel.runs.start(directive, env)
"""


@dataclass(frozen=True, slots=True)
class SampleSetting:
    """What `setting` of the macros takes."""

    key: str
    label: str
    value: Any
    kind: str
    help: str = ""
    fault: str = ""
    choices: tuple[str, ...] = ()


SETTINGS: Final = (
    SampleSetting("server.port", "Port", 4200, "int", "0 takes any that is free."),
    SampleSetting("gate.approve", "Approval", "manual", "choice", choices=("manual", "allow-list", "auto")),
    SampleSetting("server.url", "Address", "htp:/nowhere", "text", fault="not an address: begin it with http:// or https://"),
    SampleSetting("server.secure_cookies", "Cookies over TLS only", value=True, kind="bool"),
    SampleSetting("models.acme.key", "Key of acme", value=True, kind="secret", help="Stored in the keyring."),
)  # fmt: skip


@get("/style", include_in_schema=False)
async def style(desk: Desk) -> Response[str]:
    """Raises: NotFound, for who does not see everything."""
    if not desk.user or not desk.sees_all:
        raise NotFound("there is no such page", remedy="the menu shows them")
    return page(
        desk,
        "style/style.html",
        title="Style",
        states=STATES,
        lines=DIFF,
        source=CODE,
        settings=SETTINGS,
        now_us=desk.kernel.clock.now_us(),
    )


ROUTES = [style]
