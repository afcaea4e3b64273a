"""The process tree: each live agent with its state and budget, and a way to end it.

Guarantees: shown is what runs in this server now, of what the user may see; ending one is the syscall
`runs.cancel` of the user.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from litestar import Response, get

from kernel.runtime.state import RunState
from webui.desk import Desk
from webui.forms import Part
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Agents", "/agents", "bot", 35, keys="g g")
_MICRO = 1_000_000


@dataclass(slots=True)
class AgentView:
    """One process, and those that it forked."""

    state: RunState
    doing: str
    seconds: float
    mine: bool
    below: list[AgentView] = field(default_factory=list["AgentView"])

    @property
    def used(self) -> list[tuple[str, float, float]]:
        """Of each bounded part of the budget: its name, what is used, the bound."""
        budget, usage = self.state.env.budget, self.state.usage
        parts = (
            ("tokens", usage.input_tokens + usage.output_tokens, budget.tokens_max),
            ("calls", self.state.calls_spent, budget.calls_max),
            ("money", self.state.cost_micro_usd, budget.micro_usd_max),
            ("seconds", self.seconds, budget.seconds_max),
        )
        return [(name, used, bound) for name, used, bound in parts if bound]


@get("/agents", include_in_schema=False)
async def index(desk: Desk, part_: Part = "") -> Response[str]:
    """What runs now."""
    roots = _tree(desk)
    if part_ == "tree":
        return part(desk, "agents/tree.html", roots=roots)
    return page(desk, "agents/index.html", title="Agents", roots=roots)


def _tree(desk: Desk) -> list[AgentView]:
    now_us = desk.kernel.clock.now_us()
    views: dict[str, AgentView] = {}
    for run, process in desk.kernel.supervisor.live.items():
        state = process.state
        if desk.sees(run):
            seconds = (state.active_us + now_us - state.live_since_us) / _MICRO
            views[run] = AgentView(state, _doing(state), seconds, state.owner == desk.user.principal)
    roots: list[AgentView] = []
    for view in views.values():
        parent = views.get(view.state.parent)
        (parent.below if parent is not None else roots).append(view)
    return roots


def _doing(state: RunState) -> str:
    open_calls = [call.tool for call in state.pending if call.status != "done"]
    return ", ".join(open_calls) if open_calls else "thinking"


ROUTES = [index]
