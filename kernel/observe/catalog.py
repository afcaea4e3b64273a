"""The metrics that exist: name, kind, labels, meaning, and the entries that move each.

Plain data: `rfcs/surface.md` is generated from it without a client library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

MetricKind: TypeAlias = Literal["counter", "gauge", "histogram"]

SECONDS_BUCKETS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)
ENTRIES_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `fed_by` are the entry kinds that move it; `*` is every committed entry.

    A `live` one counts commits as they happen, which a replay of the past cannot know.
    """

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    doc: str
    fed_by: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    live: bool = False


def _counter(name: str, doc: str, *fed_by: str, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(f"oxios_{name}", "counter", labels, doc, fed_by)


def _gauge(name: str, doc: str, *fed_by: str) -> Metric:
    return Metric(f"oxios_{name}", "gauge", (), doc, fed_by)


def _seconds(name: str, doc: str, *fed_by: str, labels: tuple[str, ...]) -> Metric:
    return Metric(f"oxios_{name}", "histogram", labels, doc, fed_by, SECONDS_BUCKETS)


METRICS: Final[tuple[Metric, ...]] = (
    _counter("journal_entries_total", "Entries committed, by kind.", "*", labels=("kind",)),
    Metric(
        "oxios_journal_commit_batch_entries",
        "histogram",
        (),
        "Entries of one commit.",
        ("*",),
        ENTRIES_BUCKETS,
        live=True,
    ),
    _counter("kernel_boots_total", "Times the kernel was started.", "kernel.booted"),
    _gauge("agents_running", "Runs under way.", "run.started", "run.resumed", "run.paused", "run.finished"),
    _counter("agents_forked_total", "Runs started.", "run.started"),
    _counter("agents_resumed_total", "Runs taken up again after a pause or a crash.", "run.resumed"),
    _counter("agents_completed_total", "Runs that ended by themselves.", "run.finished"),
    _counter("agents_failed_total", "Runs that failed.", "run.finished"),
    _counter("runs_total", "Runs ended, by status.", "run.finished", labels=("status",)),
    _counter("llm_calls_total", "Model requests.", "model.request", labels=("model",)),
    _counter("llm_errors_total", "Model requests that failed.", "model.failed", labels=("model",)),
    _seconds("llm_duration_seconds", "From request to the end of the reply.", "model.reply", labels=("model",)),
    _counter(
        "llm_tokens_total",
        "Tokens as the provider reported them: in, out, cached (a part of in).",
        "model.reply",
        labels=("model", "direction"),
    ),
    _counter("llm_cost_usd_total", "What replies cost by the configured prices.", "model.reply", labels=("model",)),
    _counter(
        "tool_calls_total",
        "Tool calls, by outcome: ok, error, denied, invalid.",
        "call.outcome",
        "call.denied",
        "call.invalid",
        labels=("tool", "outcome"),
    ),
    _counter("tool_errors_total", "Tool calls that ran and failed.", "call.outcome", labels=("tool",)),
    _seconds("tool_duration_seconds", "From permit to outcome.", "call.outcome", labels=("tool",)),
    _counter("calls_in_doubt_total", "Calls of which nobody knows whether they happened.", "call.in_doubt"),
    _counter("calls_undone_total", "Writes taken back.", "call.undone"),
    _counter("denials_total", "Refusals, by the layer of the gate.", "call.denied", labels=("layer",)),
    _gauge("approvals_waiting", "Questions nobody answered yet.", "approval.asked", "approval.answered"),
    _counter("approvals_total", "Questions answered, by choice.", "approval.answered", labels=("choice",)),
    _counter("review_verdicts_total", "Reviews, by result: passed, failed.", "review.verdict", labels=("result",)),
    _counter(
        "capability_changes_total",
        "Capabilities minted, derived, revoked, deleted.",
        "capability.minted",
        "capability.derived",
        "capability.revoked",
        "capability.deleted",
        labels=("change",),
    ),
)
