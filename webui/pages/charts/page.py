"""`/charts`: the figures of the last hour; `/metrics` is for Prometheus.

Guarantees: what a chart draws stands in a table as well. Figures are over all users, so they are for who
sees everything. They begin anew with the server.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get
from litestar.params import FromPath

from kernel.errors import NotFound
from webui.desk import Desk
from webui.navigation import NavItem
from webui.samples import PER_MINUTE, Chart
from webui.view import page, part

NAV = NavItem("Metrics", "/charts", "chart-line", 76, group="System", needs="kernel:audit", keys="g x")
ROWS_MAX: Final = 60


@get("/charts", include_in_schema=False, sync_to_thread=False)
def index(desk: Desk) -> Response[str]:
    """One chart a subject. Raises: NotFound, for who does not see everything."""
    _require_sight(desk)
    return page(desk, "charts/index.html", title="Metrics", charts=desk.house.samples.charts())


@get("/charts/data", include_in_schema=False, sync_to_thread=False)
def data(desk: Desk) -> dict[str, Any]:
    """The same for the script that draws: times in seconds, and each chart's series. Raises: NotFound."""
    _require_sight(desk)
    samples = desk.house.samples
    return {
        "times": [time_us / 1_000_000 for time_us in samples.times_us()],
        "charts": {
            one.id: [{"label": series.label, "values": series.values} for series in one.series]
            for one in samples.charts()
        },
    }


@get("/charts/{chart:str}", include_in_schema=False, sync_to_thread=False)
def table(desk: Desk, chart: FromPath[str]) -> Response[str]:
    """What a chart draws, one row a minute, as it is now. Raises: NotFound."""
    _require_sight(desk)
    samples = desk.house.samples
    found = next((one for one in samples.charts() if one.id == chart), None)
    if found is None:
        raise NotFound(f"there is no chart {chart!r}", remedy="/charts shows them")
    return part(desk, "charts/table.html", chart=found, rows=_rows(samples.times_us(), found))


def _rows(times_us: tuple[int, ...], chart: Chart) -> list[tuple[int, tuple[float | None, ...]]]:
    """One a minute, the newest first."""
    places = range(len(times_us) - 1, -1, -PER_MINUTE)
    return [(times_us[at], tuple(one.values[at] for one in chart.series)) for at in places][:ROWS_MAX]


def _require_sight(desk: Desk) -> None:
    _ = desk.user
    if not desk.sees_all:
        raise NotFound("there is no such page", remedy="the menu shows them")


ROUTES = [index, data, table]
