"""`/models`: the models of the settings, how requests are routed, how each served, and what is held back now.

Guarantees: no key is shown, only where each comes from, and that to who may change settings alone. Figures
are counted over all users from the whole journal, so they are for who sees everything; breakers and
cooldowns are the engine's own, as they are when the page is drawn.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get

from kernel.engine.catalog import DISTRIBUTION
from kernel.engine.engine import Engine
from kernel.engine.report import configured, fact_fields, stats_fields
from kernel.errors import OxiosError
from webui.desk import Desk
from webui.forms import Part
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Models", "/models", "route", 70, group="System", keys="g m")
FALLBACKS_SHOWN: Final = 30
PHASES: Final = ("assess", "crystallize", "review", "summary")


@get("/models", include_in_schema=False)
async def index(desk: Desk, part_: Part = "") -> Response[str]:
    """Which there are, and how they did."""
    model = await _model(desk)
    if part_ == "served":
        return part(desk, "models/served.html", **model)
    return page(desk, "models/index.html", title="Models & routing", **model)


async def _model(desk: Desk) -> dict[str, Any]:
    engine = desk.kernel.supervisor.desk.engine
    settings = engine.settings
    facts = [fact_fields(engine.facts(name)) for name in configured(settings)]
    edition = engine.catalog.edition()
    served = None
    if desk.sees_all:
        stats = await desk.house.figures.models()
        served = stats_fields(stats, settings, engine.catalog, desk.kernel.clock.now_us())
        served["fallbacks"] = served["fallbacks"][::-1][:FALLBACKS_SHOWN]
    return {
        "facts": facts,
        "default": settings.model.default,
        "edition": edition,
        "catalog": DISTRIBUTION,
        "routes": _routes(engine),
        "fallbacks": settings.routing.fallbacks,
        "served": served,
        "breakers": engine.breakers() if desk.sees_all else (),
        "cooling": engine.cooling() if desk.sees_all else (),
        "keys": _keys(engine) if desk.may("kernel:config", "w") else None,
    }


def _routes(engine: Engine) -> list[dict[str, str]]:
    """What the settings route elsewhere: phases, each with what answers it, and personas."""
    routing = engine.settings.routing
    phases = [{"kind": "phase", "name": name, "model": routing.phases.get(name, "")} for name in PHASES]
    personas = [{"kind": "persona", "name": name, "model": model} for name, model in routing.personas.items()]
    return phases + personas


def _keys(engine: Engine) -> list[dict[str, Any]]:
    """Where each provider's keys come from; no key."""
    settings = engine.settings
    rows: list[dict[str, Any]] = []
    for name, one in settings.providers.items():
        row: dict[str, Any] = {"provider": name, "kind": one.kind, "base_url": one.base_url, "keys": (), "missing": ()}
        try:
            row["keys"], row["missing"] = engine.key_sources(name)
        except OxiosError as error:
            row["fault"] = error.message
        rows.append(row)
    return rows


ROUTES = [index]
