"""A call that was under way when the process died.

Guarantees: `pure` and `read` run again; a `write` whose mark is found applied is not applied again, one
that is not applied is; everything else is *in doubt*: it is neither repeated nor believed, and a
person says which. Never silently twice.
What it does not protect against: a program that an `external` call started outside the sandbox and
that still runs. Source: RFC-0005.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from kernel.directive import Mount
from kernel.errors import Invalid
from kernel.jsontypes import JsonObject
from kernel.runtime.state import CallState
from kernel.syscalls.declare import Effect
from kernel.tools.change import change_state

Resolution: TypeAlias = Literal["retry", "skip", "done"]
RESOLUTIONS: Final[tuple[Resolution, ...]] = get_args(Resolution)

Settlement: TypeAlias = Literal["run", "applied", "doubt"]


def settle(call: CallState, mounts: tuple[Mount, ...]) -> Settlement:
    """What to do with a call that has an intent and no outcome."""
    if call.status == "waiting" or call.effect in (Effect.PURE, Effect.READ):
        return "run"
    if call.status == "in_doubt" or call.effect != Effect.WRITE:
        return "doubt"
    if call.mark is None:
        return "run"
    match change_state(call.mark, mounts):
        case "applied":
            return "applied"
        case "pending":
            return "run"
        case "foreign":
            return "doubt"


def question(call: CallState) -> str:
    """What a person is asked."""
    return (
        f"`{call.tool}` {call.arguments} was under way when Oxios was killed, and nobody knows whether it "
        "happened. retry: do it (again). skip: tell the agent that it did not happen. "
        "done: tell the agent that it happened."
    )


def parse_resolution(text: str) -> Resolution:
    """Raises: Invalid, naming the words there are."""
    if text not in RESOLUTIONS:
        raise Invalid(f"{text!r} does not say what to do", remedy=f"say {', '.join(RESOLUTIONS)}")
    return text


def resolved_outcome(call: CallState, resolution: Literal["skip", "done"], by: str) -> JsonObject:
    """The outcome entry that a person's word makes."""
    happened = resolution == "done"
    text = (
        f"This was interrupted; {by} says that it happened. Its output is lost."
        if happened
        else f"This was interrupted; {by} says that it did not happen."
    )
    return {"call": call.id, "tool": call.tool, "ok": happened, "text": text, "ms": 0, "resolved": resolution, "by": by}


def recovered_outcome(call: CallState) -> JsonObject:
    """The outcome of a write that was found applied after a restart."""
    text = "Done. (It was applied just before a restart; its mark shows it.)"
    return {"call": call.id, "tool": call.tool, "ok": True, "text": text, "ms": 0, "recovered": True}
