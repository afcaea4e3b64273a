"""The page of metrics: a bounded hour of readings, drawn and as tables, for who sees everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from kernel.clock import SystemClock
from kernel.directive import Directive, ExecEnv, Mount
from kernel.ids import Digest, RunId
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.observe.metrics import Metrics
from kernel.testing.provider import call, say
from tests.web.browser import Site, open_browser, open_site
from tests.web.page_world import looks_right, signed_in
from tests.world import MODEL, OWNER
from webui.samples import EVERY_S, FIGURES_MAX, SAMPLES_MAX, Samples, figures_of

pytestmark = pytest.mark.anyio


class _Ticks(SystemClock):
    """A reading every EVERY_S seconds, without waiting."""

    def __init__(self) -> None:
        self.time_us = 0

    def now_us(self) -> int:
        self.time_us += int(EVERY_S * 1_000_000)
        return self.time_us


def _drawn(samples: Samples, chart: str) -> dict[str, tuple[float | None, ...]]:
    found = next(one for one in samples.charts() if one.id == chart)
    return {one.label: one.values for one in found.series}


def test_counters_are_shown_as_what_they_rose_in_a_minute() -> None:
    """A reading is compared with the one a minute before it; latency is a mean, and none where nobody answered."""
    figures: dict[str, float] = {}
    samples = Samples(_Ticks(), lambda: figures)
    for at in range(20):
        figures = {"tokens:in": at * 10.0, "running": float(at % 2), "entries": at * 5.0}
        if at >= 10:
            figures |= {"model-replies": 2.0, "model-seconds": 3.0}
        samples.take()
    assert _drawn(samples, "tokens")["in"][-1] == 120
    assert _drawn(samples, "tokens")["in"][3] == 30
    assert _drawn(samples, "runs")["running"][-2:] == (0.0, 1.0)
    assert _drawn(samples, "entries")["entries"][-1] == 1.0
    assert (_drawn(samples, "latency")["mean of a minute"][9], _drawn(samples, "latency")["mean of a minute"][10]) == (
        None,
        1.5,
    )


def test_an_hour_is_kept_and_no_more() -> None:
    """Of as many figures as are shown, whatever names agents make up."""
    samples = Samples(_Ticks(), lambda: {f"tool:{name}": 1.0 for name in range(1_000)})
    for _ in range(SAMPLES_MAX + 50):
        samples.take()
    assert len(samples.readings) == SAMPLES_MAX
    assert all(len(one.figures) <= FIGURES_MAX * 2 for one in samples.readings)
    metrics = Metrics()
    for number in range(500):
        said: JsonObject = {"tool": f"made-up-{number}", "ok": False, "ms": 1}
        metrics.replay(_entry(number, said))
    assert len(figures_of(metrics)) <= FIGURES_MAX


def _entry(seq: int, payload: JsonObject) -> Entry:
    return Entry(
        seq=seq,
        time_us=seq,
        principal=OWNER,
        stream=RunId("r"),
        kind="call.outcome",
        digest=Digest(""),
        payload=payload,
    )


async def _work(site: Site) -> None:
    site.house.samples.take()
    env = ExecEnv(mounts=(Mount(str(site.workspace)),), model=MODEL)
    await site.kernel.runs.wait(await site.kernel.runs.start(Directive("look"), env, owner=OWNER))
    site.house.samples.take()


async def test_what_agents_did_is_drawn_and_stands_in_tables(tmp_path: Path) -> None:
    """One canvas a chart, in both themes' colours; a table opens with the same numbers; axe finds nothing."""
    async with open_site(tmp_path, [call("ls", path="."), say("done")]) as site, open_browser(site) as browser:
        await _work(site)
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/charts")
        charts = len(site.house.samples.charts())
        await expect(page.locator("canvas")).to_have_count(charts)
        await page.locator("summary", has_text="Runs ended").click()
        table = page.locator("details", has_text="Runs ended").locator("tbody tr").first
        await expect(table.locator("td").first).to_have_text("1")
        assert await looks_right(page) == []
        await expect(page.locator("canvas")).to_have_count(charts)


async def test_figures_of_all_are_for_who_sees_all(tmp_path: Path) -> None:
    """A viewer does; for a user there is no such page, nor its numbers, nor the menu's line."""
    async with open_site(tmp_path) as site:
        for name, role, status in (("eve", "viewer", 200), ("bob", "user", 404)):
            await site.kernel.handle(OWNER).call("users.create", {"name": name, "role": role})
            async with signed_in(site, name) as client:
                for path in ("/charts", "/charts/data", "/charts/runs"):
                    assert (await client.get(path)).status_code == status, (name, path)
                assert ('href="/charts"' in (await client.get("/account")).text) is (status == 200)
        async with signed_in(site) as client:
            data = (await client.get("/charts/data")).json()
            assert data["charts"].keys() == {one.id for one in site.house.samples.charts()}
            assert (await client.get("/charts/none")).status_code == 404
