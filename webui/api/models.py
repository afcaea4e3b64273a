"""Models and tools: which there are, how they served, and how requests are routed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import Field

from kernel.engine.report import configured, fact_fields, stats_fields
from kernel.errors import AccessDenied, OxiosError
from kernel.syscalls.describe import described
from webui.desk import Desk
from webui.rest.operation import operation
from webui.rest.paging import paged
from webui.rest.shapes import Json, Page, Paging, Shape


class ModelOut(Shape):
    """Prices are micro-dollars for a million tokens; null: nobody knows."""

    model: str
    context_tokens: int
    output_tokens: int
    modalities: list[str]
    known: bool
    price_source: str
    price: dict[str, Json] | None
    default: bool


class StatsOut(Shape):
    """Counted over the whole journal."""

    models: list[dict[str, Json]]
    micro_usd: int
    assumed_micro_usd: int = Field(description="Of `micro_usd`: at most, for requests whose use nobody reported.")
    alone_micro_usd: dict[str, int]
    best_single: dict[str, Json] | None
    fallbacks: list[dict[str, Json]]
    breakers: list[dict[str, Json]]


class BreakerOut(Shape):
    model: str
    key: str
    state: str
    failures: int
    free_in_s: float


class CoolingOut(Shape):
    provider: str
    key: str
    why: str
    free_in_s: float


class RoutingOut(Shape):
    """Which model is asked when, and what is held back now."""

    default: str
    phases: dict[str, str]
    personas: dict[str, str]
    fallbacks: list[str]
    breakers: list[BreakerOut]
    cooling: list[CoolingOut]


class KeyOut(Shape):
    """Where a provider's keys come from; never a key."""

    provider: str
    keys: list[str]
    missing: list[str] = Field(description="Variables that the settings name and that are empty.")
    fault: str


class KeysOut(Shape):
    providers: list[KeyOut]


class ToolOut(Shape):
    """A syscall as it is declared: what the gate checks."""

    name: str
    description: str
    effect: str
    tier: str
    approval: str
    offered: bool = Field(description="Models may call it.")
    claims: list[str]
    arguments: dict[str, Json] = Field(description="JSON Schema of its arguments.")


class ToolQuery(Paging):
    offered: Literal["true", "all"] = Field(
        default="true", description="`all`: what only people and the kernel do, too."
    )


@operation("GET", "/api/models", "models_list")
async def models_list(desk: Desk, query: Paging) -> Page[ModelOut]:
    """Those that the settings name, with context and price."""
    engine = desk.kernel.supervisor.desk.engine
    rows = sorted(configured(engine.settings))
    default = engine.settings.model.default

    def shown(name: str) -> ModelOut:
        return ModelOut.model_validate({**fact_fields(engine.facts(name)), "default": name == default})

    return paged(rows, query.limit, query.cursor, shown, lambda name: name)


@operation("GET", "/api/models/stats", "models_stats")
async def models_stats(desk: Desk) -> StatsOut:
    """Calls, failures, cost, time and fallbacks of each, for who sees everything."""
    _require_all(desk)
    engine = desk.kernel.supervisor.desk.engine
    stats = await desk.house.figures.models()
    fields = stats_fields(stats, engine.settings, engine.catalog, desk.kernel.clock.now_us())
    return StatsOut.model_validate(fields)


@operation("GET", "/api/models/routing", "models_routing")
async def models_routing(desk: Desk) -> RoutingOut:
    """Routes and fallbacks; breakers and cooldowns for who sees everything."""
    engine = desk.kernel.supervisor.desk.engine
    routing = engine.settings.routing
    seen = desk.sees_all
    return RoutingOut(
        default=engine.settings.model.default,
        phases=_texts(routing.phases),
        personas=_texts(routing.personas),
        fallbacks=list(routing.fallbacks),
        breakers=[BreakerOut.model_validate(asdict(one)) for one in engine.breakers()] if seen else [],
        cooling=[CoolingOut.model_validate(asdict(one)) for one in engine.cooling()] if seen else [],
    )


@operation("GET", "/api/models/keys", "models_keys")
async def models_keys(desk: Desk) -> KeysOut:
    """Where keys come from, for who may change settings."""
    if not desk.may("kernel:config", "w"):
        raise AccessDenied(
            "keys are not yours to see", layer="capability", need="kernel:config [w]", remedy="ask the operator"
        )
    engine = desk.kernel.supervisor.desk.engine
    rows: list[KeyOut] = []
    for name in sorted(engine.settings.providers):
        try:
            keys, missing = engine.key_sources(name)
            rows.append(KeyOut(provider=name, keys=list(keys), missing=list(missing), fault=""))
        except OxiosError as error:
            rows.append(KeyOut(provider=name, keys=[], missing=[], fault=error.message))
    return KeysOut(providers=rows)


@operation("GET", "/api/tools", "tools_list")
async def tools_list(desk: Desk, query: ToolQuery) -> Page[ToolOut]:
    """What agents can call."""
    table = desk.kernel.table
    chosen = {one.name: one for one in (table if query.offered == "all" else table.offered())}
    return paged(sorted(chosen), query.limit, query.cursor, lambda name: _tool(desk, name), lambda name: name)


@operation("GET", "/api/tools/{name}", "tools_get")
async def tools_get(desk: Desk, name: Annotated[str, Field(min_length=1, max_length=64, examples=["edit"])]) -> ToolOut:
    """One of them in full."""
    return _tool(desk, name)


def _tool(desk: Desk, name: str) -> ToolOut:
    fields = described(desk.kernel.table.get(name))
    return ToolOut.model_validate(
        {**{key: value for key, value in fields.items() if key != "schema"}, "arguments": fields["schema"]}
    )


def _texts(mapping: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in mapping.items() if value}


def _require_all(desk: Desk) -> None:
    if not desk.sees_all:
        raise AccessDenied(
            "figures are of all agents", layer="capability", need="kernel:audit", remedy="ask the operator"
        )


ROUTES = [models_list, models_stats, models_routing, models_keys, tools_list, tools_get]
