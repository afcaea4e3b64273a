"""The server itself: what it is, whether it is well; agents that live in it; figures."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Literal, cast

from pydantic import Field

from kernel.errors import AccessDenied
from webui.desk import Desk
from webui.rest.operation import operation
from webui.rest.paging import paged
from webui.rest.runs import RunOut, run_out
from webui.rest.shapes import Micros, Page, Paging, Shape


class SystemOut(Shape):
    version: str
    entries: int = Field(description="Of the journal.")
    live_runs: int
    event_clients: int
    time_us: int
    checks: dict[str, bool] = Field(description="What work needs, and whether it is there: as `/ready` says.")


class SampleOut(Shape):
    labels: dict[str, str]
    value: float


class MetricOut(Shape):
    """One of `/metrics`; a histogram by its count and its sum."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    doc: str
    samples: list[SampleOut]


class SeriesOut(Shape):
    label: str
    values: list[float | None]


class ChartOut(Shape):
    """Figures that are looked at together; `unit` is of all of them."""

    id: str
    title: str
    unit: str
    series: list[SeriesOut]


class ChartsOut(Shape):
    """Readings of the last hour; each series has a value for each of `times_us`."""

    times_us: list[Micros]
    charts: list[ChartOut]


@operation("GET", "/api/system", "system_get")
async def system_get(desk: Desk) -> SystemOut:
    """Version, size, and whether what work needs is there."""
    kernel = desk.kernel
    return SystemOut(
        version=version("oxios"),
        entries=kernel.journal.size,
        live_runs=len(kernel.supervisor.live),
        event_clients=desk.house.hub.followers,
        time_us=kernel.clock.now_us(),
        checks=await desk.house.readiness.checks(),
    )


@operation("GET", "/api/agents", "agents_list")
async def agents_list(desk: Desk, query: Paging) -> Page[RunOut]:
    """Live processes that the user may see: `runs_cancel` ends one."""
    live = desk.kernel.supervisor.live
    seen = sorted(run for run in live if desk.sees(run))
    states = [live[run].state for run in seen]
    return paged(states, query.limit, query.cursor, lambda state: run_out(desk, state), lambda state: state.run)


@operation("GET", "/api/metrics", "metrics_list")
async def metrics_list(desk: Desk, query: Paging) -> Page[MetricOut]:
    """Figures since the server started, for who sees everything."""
    _require_sight(desk)
    found: list[MetricOut] = []
    for metric in desk.house.metrics.registry.collect():
        kept = [one for one in metric.samples if not one.name.endswith(("_bucket", "_created"))]
        if metric.type == "histogram":
            kept = [one for one in kept if one.name.endswith(("_count", "_sum"))]
        found.append(
            MetricOut(
                name=metric.name,
                kind=cast('Literal["counter", "gauge", "histogram"]', metric.type),
                doc=metric.documentation,
                samples=[SampleOut(labels={**one.labels, **_part(one.name)}, value=one.value) for one in kept],
            )
        )
    found.sort(key=lambda one: one.name)
    return paged(found, query.limit, query.cursor, lambda one: one, lambda one: one.name)


@operation("GET", "/api/metrics/charts", "metrics_charts")
async def metrics_charts(desk: Desk) -> ChartsOut:
    """How the figures went in the last hour, for who sees everything."""
    _require_sight(desk)
    samples = desk.house.samples
    charts = [ChartOut.model_validate(asdict(one)) for one in samples.charts()]
    return ChartsOut(times_us=list(samples.times_us()), charts=charts)


def _require_sight(desk: Desk) -> None:
    if not desk.sees_all:
        raise AccessDenied(
            "metrics tell of all agents", layer="capability", need="kernel:audit", remedy="ask the operator"
        )


def _part(name: str) -> dict[str, str]:
    """Of a histogram: which of its two sums."""
    return {"of": name.rpartition("_")[2]} if name.endswith(("_count", "_sum")) else {}


ROUTES = [system_get, agents_list, metrics_list, metrics_charts]
