"""Every declared metric is really moved by the entries it names, and by nothing it does not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel.ids import Digest, Principal
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.observe.catalog import Metric
from kernel.observe.metrics import LABEL_SETS_MAX, METRICS, OTHER, Metrics, describe_metrics

SAMPLES: dict[str, JsonObject] = {
    "kernel.booted": {"pid": 1},
    "run.started": {"goal": "g"},
    "run.resumed": {},
    "run.paused": {"note": "n"},
    "run.finished": {"status": "finished"},
    "model.request": {"model": "p/m", "round": 1},
    "model.failed": {"model": "p/m", "error": "provider_down"},
    "model.reply": {"model": "p/m", "ms": 1500, "usage": {"in": 10, "out": 4, "cached": 2}, "micro_usd": 250},
    "call.intent": {"call": "r.1", "tool": "write", "effect": "write"},
    "call.outcome": {"call": "r.1", "tool": "write", "ok": True, "ms": 20},
    "call.denied": {"call": "r.1", "tool": "exec", "layer": "commands", "reason": "no"},
    "call.invalid": {"call": "r.1", "tool": "read", "error": "e"},
    "call.in_doubt": {"call": "r.1"},
    "call.undone": {"call": "r.1"},
    "approval.asked": {"id": "a1", "run": "r", "call": "r.1"},
    "approval.answered": {"id": "a1", "choice": "once"},
    "review.verdict": {"passed": True, "score": 1.0},
    "capability.minted": {"id": "c1"},
    "capability.derived": {"id": "c2"},
    "capability.revoked": {"id": "c2"},
    "capability.deleted": {"id": "c1"},
}
VARIANTS: list[tuple[str, JsonObject]] = [
    *SAMPLES.items(),
    ("run.finished", {"status": "failed"}),
    ("call.outcome", {"tool": "write", "ok": False, "ms": 1}),
]
ONCE = Principal("agent:r1")


def _entry(kind: str, payload: JsonObject | None, stream: str = "r1") -> Entry:
    return Entry(1, 0, ONCE, stream, kind, Digest("0" * 64), payload)


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def _family(metrics: Metrics, name: str) -> dict[str, float]:
    """Every sample of one metric, without creation times, keyed by its text."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if family.name == name.removesuffix("_total") and not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_metric_is_moved_by_each_kind_it_names(metric: Metric) -> None:
    """For every metric and every kind of `fed_by`, some entry of that kind changes it."""
    for kind in SAMPLES if metric.fed_by == ("*",) else metric.fed_by:
        moved = False
        for have, payload in VARIANTS:
            if have == kind:
                metrics = Metrics()
                if kind in {"run.paused", "run.finished"}:
                    metrics.observe((_entry("run.started", {}),))
                if kind == "approval.answered":
                    metrics.observe((_entry("approval.asked", {"id": "a1"}),))
                before = _family(metrics, metric.name)
                metrics.observe((_entry(have, payload),))
                moved = moved or _family(metrics, metric.name) != before
        assert moved, f"{kind} does not move {metric.name}"


@pytest.mark.parametrize(("kind", "payload"), VARIANTS, ids=lambda value: str(value)[:24])
def test_a_kind_moves_only_the_metrics_that_name_it(kind: str, payload: JsonObject) -> None:
    """No metric changes behind the back of the catalog, from which the surface is generated."""
    metrics = Metrics()
    for warm in ("run.started", "approval.asked"):
        metrics.observe((_entry(warm, SAMPLES[warm]),))
    before = {metric.name: _family(metrics, metric.name) for metric in METRICS}
    metrics.observe((_entry(kind, payload),))
    for metric in METRICS:
        if metric.fed_by != ("*",) and kind not in metric.fed_by:
            assert _family(metrics, metric.name) == before[metric.name], metric.name


def test_the_numbers_are_those_of_the_entries() -> None:
    """One batch with one entry of each kind: the counts, sums and labels it must give."""
    metrics = Metrics()
    metrics.observe(tuple(_entry(kind, payload) for kind, payload in SAMPLES.items()))
    assert _value(metrics, "oxios_journal_entries_total", kind="call.intent") == 1
    assert _value(metrics, "oxios_journal_commit_batch_entries_sum") == len(SAMPLES)
    assert _value(metrics, "oxios_llm_duration_seconds_sum", model="p/m") == 1.5
    assert _value(metrics, "oxios_llm_tokens_total", model="p/m", direction="in") == 10
    assert _value(metrics, "oxios_llm_tokens_total", model="p/m", direction="cached") == 2
    assert _value(metrics, "oxios_llm_cost_usd_total", model="p/m") == pytest.approx(0.00025)
    assert _value(metrics, "oxios_tool_calls_total", tool="write", outcome="ok") == 1
    assert _value(metrics, "oxios_tool_calls_total", tool="exec", outcome="denied") == 1
    assert _value(metrics, "oxios_tool_calls_total", tool="read", outcome="invalid") == 1
    assert _value(metrics, "oxios_denials_total", layer="commands") == 1
    assert _value(metrics, "oxios_tool_duration_seconds_sum", tool="write") == 0.02
    assert _value(metrics, "oxios_approvals_total", choice="once") == 1
    assert _value(metrics, "oxios_approvals_waiting") == 0
    assert _value(metrics, "oxios_runs_total", status="finished") == 1
    assert _value(metrics, "oxios_review_verdicts_total", result="passed") == 1
    assert _value(metrics, "oxios_tool_errors_total", tool="write") is None


def test_running_agents_are_those_not_paused_nor_ended() -> None:
    """Two start, one pauses and resumes, one ends; a run resumed after a crash is not counted twice."""
    metrics = Metrics()
    seen: list[float | None] = []
    for stream, kind in [
        ("r1", "run.started"), ("r2", "run.started"), ("r1", "run.paused"), ("r1", "run.resumed"),
        ("r1", "run.resumed"), ("r2", "run.finished"), ("r1", "run.finished"), ("r1", "run.finished"),
    ]:  # fmt: skip
        metrics.observe((_entry(kind, SAMPLES[kind], stream),))
        seen.append(_value(metrics, "oxios_agents_running"))
    assert seen == [1, 2, 1, 2, 2, 1, 0, 0]


def test_replaying_the_past_gives_the_same_numbers() -> None:
    """A fresh registry fed entry by entry agrees with one that saw the batches, but for the batches."""
    batch = tuple(_entry(kind, payload) for kind, payload in VARIANTS)
    live, past = Metrics(), Metrics(live=False)
    live.observe(batch)
    for entry in batch:
        past.replay(entry)
    for metric in METRICS:
        want = {} if metric.live else _family(live, metric.name)
        assert _family(past, metric.name) == want
    assert b"commit_batch" not in past.exposition()
    assert b'oxios_tool_calls_total{outcome="ok",tool="write"} 1.0' in past.exposition()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["model", "tool", "ms", "usage", "micro_usd", "status", "choice", "layer", "id", "ok"])
SHARED = Metrics()


@example("model.reply", {"ms": 10**400, "usage": {"in": float("inf"), "out": float("nan"), "cached": -1}})
@given(st.sampled_from(sorted(SAMPLES)), st.none() | st.dictionaries(FIELDS, JSON))
def test_no_payload_makes_it_raise(kind: str, payload: dict[str, JsonValue] | None) -> None:
    """Missing, odd, erased or absurd fields are counted as far as they go; the journal's task lives on."""
    SHARED.observe((_entry(kind, payload),))


def test_made_up_names_cannot_grow_it_without_bound() -> None:
    """The label sets of a metric are bounded: one under the bound has its own, those above share one."""
    metrics = Metrics()
    for number in range(LABEL_SETS_MAX + 50):
        metrics.observe((_entry("call.invalid", {"tool": f"tool{number}"}),))
    assert _value(metrics, "oxios_tool_calls_total", tool=f"tool{LABEL_SETS_MAX - 1}", outcome="invalid") == 1
    assert _value(metrics, "oxios_tool_calls_total", tool=OTHER, outcome=OTHER) == 50
    assert len(_family(metrics, "oxios_tool_calls_total")) == LABEL_SETS_MAX + 1


def test_the_catalog_needs_no_client_library() -> None:
    """The generated surface and `oxios --help` do not pay for prometheus_client."""
    code = (
        "import sys, json; from kernel.observe.metrics import describe_metrics\n"
        "print(json.dumps([[m.name for m in describe_metrics()], 'prometheus_client' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [[metric.name for metric in describe_metrics()], False]
    assert all(metric.doc.endswith(".") and metric.name.startswith("oxios_") for metric in METRICS)
