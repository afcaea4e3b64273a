"""Metrics: numbers that the journal's entries move, and nothing else.

Guarantees: every metric in `METRICS` is moved by entries of the kinds it names (tested for each),
so replaying a journal into a fresh `Metrics` gives its numbers again. `observe` never raises on an
entry's content, and no metric has more than `LABEL_SETS_MAX` label sets: names that a model made up
cannot grow it. prometheus_client is imported when the first `Metrics` is made.
Does not count what was never journalled, nor what an erased payload said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.observe.catalog import METRICS, Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LABEL_SETS_MAX: Final = 200
LABEL_CHARS_MAX: Final = 80
AMOUNT_MAX: Final = 10**15
OTHER: Final = "other"

Handler: TypeAlias = Callable[["Metrics", JsonObject, Entry], None]


class Metrics:
    """One registry of the metrics in `METRICS`; subscribe `observe` to the journal.

    With `live` False it is for a journal's past: `replay` each entry, and the metrics that only the
    moment of a commit can move are left out rather than shown as 0.
    """

    def __init__(self, *, live: bool = True) -> None:
        from prometheus_client import CollectorRegistry as Registry  # noqa: PLC0415 -- 50 ms, where nobody measures

        self.registry = Registry()
        self._by_name = {
            metric.name: _collector(metric, self.registry) for metric in METRICS if live or not metric.live
        }
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        self._running: set[str] = set()
        self._waiting: set[str] = set()

    def observe(self, batch: Sequence[Entry]) -> None:
        """Count one committed batch."""
        self.time("oxios_journal_commit_batch_entries", len(batch))
        for entry in batch:
            self.replay(entry)

    def replay(self, entry: Entry) -> None:
        """Count one entry of the past, whose batch is no longer known."""
        self.count("oxios_journal_entries_total", entry.kind)
        handler = _HANDLERS.get(entry.kind)
        if handler is not None:
            handler(self, entry.payload or {}, entry)

    def exposition(self) -> bytes:
        """Prometheus text format 0.0.4, UTF-8."""
        from prometheus_client import generate_latest  # noqa: PLC0415 -- as above

        return generate_latest(self.registry)

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        counter: Counter = self._by_name[name]
        (counter.labels(*self._bounded(name, labels)) if labels else counter).inc(by)

    def time(self, name: str, amount: float, *labels: str) -> None:
        histogram: Histogram = self._by_name[name]
        (histogram.labels(*self._bounded(name, labels)) if labels else histogram).observe(amount)

    def set(self, name: str, amount: float) -> None:
        gauge: Gauge = self._by_name[name]
        gauge.set(amount)

    def run_is(self, run: str, *, live: bool) -> None:
        """Whether an agent runs; a run that was killed counts until it is resumed or ended."""
        (self._running.add if live else self._running.discard)(run)
        self.set("oxios_agents_running", len(self._running))

    def question_is(self, approval: str, *, open_: bool) -> None:
        (self._waiting.add if open_ else self._waiting.discard)(approval)
        self.set("oxios_approvals_waiting", len(self._waiting))

    def _bounded(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        short = tuple(label[:LABEL_CHARS_MAX] for label in labels)
        seen = self._seen.setdefault(name, set())
        if short not in seen:
            if len(seen) >= LABEL_SETS_MAX:
                return (OTHER,) * len(labels)
            seen.add(short)
        return short


def describe_metrics() -> tuple[Metric, ...]:
    """Every metric, for `rfcs/surface.md`; imports no client library."""
    return METRICS


def _collector(metric: Metric, registry: CollectorRegistry) -> Any:
    import prometheus_client as client  # noqa: PLC0415 -- see Metrics

    match metric.kind:
        case "counter":
            return client.Counter(metric.name, metric.doc, metric.labels, registry=registry)
        case "gauge":
            return client.Gauge(metric.name, metric.doc, metric.labels, registry=registry)
        case "histogram":
            return client.Histogram(metric.name, metric.doc, metric.labels, registry=registry, buckets=metric.buckets)


def _text(payload: JsonObject, name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) and value else "unknown"


def _amount(payload: JsonObject, name: str) -> float:
    """A counter only goes up, so what is missing, negative, absurd or no number counts as 0."""
    value = payload.get(name)
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= AMOUNT_MAX else 0.0


def _booted(metrics: Metrics, _payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_kernel_boots_total")


def _started(metrics: Metrics, _payload: JsonObject, entry: Entry) -> None:
    metrics.count("oxios_agents_forked_total")
    metrics.run_is(entry.stream, live=True)


def _resumed(metrics: Metrics, _payload: JsonObject, entry: Entry) -> None:
    metrics.count("oxios_agents_resumed_total")
    metrics.run_is(entry.stream, live=True)


def _paused(metrics: Metrics, _payload: JsonObject, entry: Entry) -> None:
    metrics.run_is(entry.stream, live=False)


def _finished(metrics: Metrics, payload: JsonObject, entry: Entry) -> None:
    metrics.run_is(entry.stream, live=False)
    status = _text(payload, "status")
    metrics.count("oxios_runs_total", status)
    if status == "finished":
        metrics.count("oxios_agents_completed_total")
    elif status == "failed":
        metrics.count("oxios_agents_failed_total")


def _requested(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_llm_calls_total", _text(payload, "model"))


def _model_failed(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_llm_errors_total", _text(payload, "model"))


def _replied(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    model = _text(payload, "model")
    metrics.time("oxios_llm_duration_seconds", _amount(payload, "ms") / 1000, model)
    usage = payload.get("usage")
    for direction in ("in", "out", "cached"):
        spent = _amount(usage, direction) if isinstance(usage, Mapping) else 0.0
        metrics.count("oxios_llm_tokens_total", model, direction, by=spent)
    metrics.count("oxios_llm_cost_usd_total", model, by=_amount(payload, "micro_usd") / 1_000_000)


def _outcome(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    tool, ok = _text(payload, "tool"), payload.get("ok") is True
    metrics.count("oxios_tool_calls_total", tool, "ok" if ok else "error")
    if not ok:
        metrics.count("oxios_tool_errors_total", tool)
    metrics.time("oxios_tool_duration_seconds", _amount(payload, "ms") / 1000, tool)


def _denied(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_tool_calls_total", _text(payload, "tool"), "denied")
    metrics.count("oxios_denials_total", _text(payload, "layer"))


def _invalid(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_tool_calls_total", _text(payload, "tool"), "invalid")


def _in_doubt(metrics: Metrics, _payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_calls_in_doubt_total")


def _undone(metrics: Metrics, _payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_calls_undone_total")


def _asked(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    metrics.question_is(_text(payload, "id"), open_=True)


def _answered(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    metrics.question_is(_text(payload, "id"), open_=False)
    metrics.count("oxios_approvals_total", _text(payload, "choice"))


def _reviewed(metrics: Metrics, payload: JsonObject, _entry: Entry) -> None:
    metrics.count("oxios_review_verdicts_total", "passed" if payload.get("passed") is True else "failed")


def _capability(metrics: Metrics, _payload: JsonObject, entry: Entry) -> None:
    metrics.count("oxios_capability_changes_total", entry.kind.partition(".")[2])


_HANDLERS: Final[Mapping[str, Handler]] = {
    "kernel.booted": _booted,
    "run.started": _started,
    "run.resumed": _resumed,
    "run.paused": _paused,
    "run.finished": _finished,
    "model.request": _requested,
    "model.failed": _model_failed,
    "model.reply": _replied,
    "call.outcome": _outcome,
    "call.denied": _denied,
    "call.invalid": _invalid,
    "call.in_doubt": _in_doubt,
    "call.undone": _undone,
    "approval.asked": _asked,
    "approval.answered": _answered,
    "review.verdict": _reviewed,
    "capability.minted": _capability,
    "capability.derived": _capability,
    "capability.revoked": _capability,
    "capability.deleted": _capability,
}
