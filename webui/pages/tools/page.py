"""`/tools`: every syscall as it is declared, the approval policy that is in force, and how calls went.

Guarantees: declarations are those that the gate checks. Counts are over all users since the server started,
the same as `/metrics`, so they are for who sees everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar import Response, get

from kernel.settings import Settings
from kernel.syscalls.declare import AnySyscall
from kernel.syscalls.describe import described
from webui.desk import Desk
from webui.figures import ToolFigures, tools
from webui.forms import Part
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Tools", "/tools", "wrench", 72, group="System", keys="g t")
_NONE: Final = ToolFigures()


@get("/tools", include_in_schema=False)
async def index(desk: Desk, part_: Part = "") -> Response[str]:
    """What agents may call, then what only people and the kernel do."""
    settings = desk.kernel.settings
    counted: Mapping[str, ToolFigures] = tools(desk.house.metrics) if desk.sees_all else {}
    rows = [_row(one, settings, counted.get(one.name, _NONE)) for one in desk.kernel.table]
    model: dict[str, Any] = {
        "tools": [row for row in rows if row["offered"]],
        "others": [row for row in rows if not row["offered"]],
        "counted": desk.sees_all,
        "mode": settings.approval.mode,
    }
    if part_ == "tools":
        return part(desk, "tools/tools.html", **model)
    return page(desk, "tools/index.html", title="Tools", **model)


def _row(one: AnySyscall, settings: Settings, figures: ToolFigures) -> dict[str, Any]:
    said = settings.approval.policies.get(one.name)
    in_force = said or one.approval
    return {
        **described(one),
        "asked": in_force,
        "said": bool(said),
        "unasked": _unasked(one, in_force, settings),
        "figures": figures,
    }


def _unasked(one: AnySyscall, policy: str, settings: Settings) -> str:
    """In words, when a call runs without a person being asked."""
    mode, allow = settings.approval.mode, settings.approval.allow
    if policy == "auto":
        return "never asked about"
    if policy == "always":
        return "asked about every time"
    named = sorted(key for key in allow if key.partition(":")[0] == one.name)
    if mode == "auto":
        return "not asked about in mode auto, unless it is dangerous"
    if mode == "allow-list" and named:
        return f"not asked about where {', '.join(named)} covers it"
    return f"asked about (mode {mode})"


ROUTES = [index]
