"""What a run's state says as JSON, wherever it is told: the fields that `--json` and the HTTP API have in common."""

from __future__ import annotations

from typing import Any

from kernel.runtime.state import RunState


def facts_of(state: RunState) -> dict[str, Any]:
    """The fields are stable. Whether somebody carries the run on now is not of the record: who tells it adds that."""
    return {
        "seed": state.seed,
        "owner": state.owner,
        "goal": state.directive.goal,
        "output": state.output,
        "note": state.note,
        "model": state.model,
        "persona": state.env.persona,
        "parent": state.parent,
        "turns": state.turns,
        "calls": state.calls_made,
        "tokens_in": state.usage.input_tokens,
        "tokens_out": state.usage.output_tokens,
        "cost_micro_usd": state.cost_micro_usd,
        "started_us": state.started_us,
        "updated_us": state.updated_us,
        "resumes": state.resumes,
        "verdict": state.verdict,
        "steps": [
            {"call": step.call, "tool": step.tool, "arguments": step.arguments, "ok": step.ok, "text": step.text}
            for step in state.steps
        ],
        "pending": [{"call": call.id, "tool": call.tool, "status": call.status} for call in state.pending],
    }
