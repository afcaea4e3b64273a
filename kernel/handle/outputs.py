"""`read_output`: any page of a tool output that the model was given the beginning and end of.

Guarantees: a run reaches the outputs of its own calls and of those it was forked from, up to the fork,
and no other run's: what it may name is what its own state has folded in. A page is cut between
characters, never in one. Outputs that were short are there too: after a compaction they can be
read again.
Does not bring back what was erased from the journal: that is said.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from kernel.errors import AccessDenied, Invalid, NotFound
from kernel.ids import Digest, agent
from kernel.journal.appender import Appender
from kernel.process.supervisor import Supervisor
from kernel.runtime.state import RunState
from kernel.runtime.text import page_bytes
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, no_claims, syscall
from kernel.tools.text import SHOWN_BYTES_MAX

NAMED_MAX: Final = 8


class ReadOutputArgs(Args):
    call: str = Field(min_length=1, max_length=64, description="The call whose output it is, as the cut output says.")
    offset: int = Field(default=0, ge=0, description="First byte to show, counted from 0.")
    limit: int = Field(default=SHOWN_BYTES_MAX, ge=1, le=SHOWN_BYTES_MAX, description="How many bytes at most.")


# Nothing is claimed: a run's own record is as much its own as its conversation, which holds the same words.
@syscall("read_output", ReadOutputArgs, claims=no_claims, effect=Effect.READ)
async def read_output(call: Call, args: ReadOutputArgs) -> ToolResult:
    """Read a page of an earlier tool output that was too long to be shown whole. Give the call it names."""
    content = await _content(call, args.call)
    if args.offset >= len(content):
        raise Invalid(
            f"the output of {args.call} has {len(content)} bytes",
            remedy=f"choose an offset from 0 to {max(len(content) - 1, 0)}",
        )
    start, end = page_bytes(content, args.offset, args.limit)
    more = f"; go on with offset={end}" if end < len(content) else ", its end"
    note = f"[bytes {start} to {end} of {len(content)} of the output of {args.call}{more}]"
    return ToolResult(f"{content[start:end].decode()}\n{note}\n", {"start": start, "end": end})


async def _content(call: Call, wanted: str) -> bytes:
    """The whole output. Raises: NotFound, AccessDenied."""
    state = await _own_state(call)
    known = {step.call: (step.blob, step.text) for step in state.steps}
    known |= {one.id: (one.blob, one.text) for one in state.pending if one.status == "done"}
    if wanted not in known:
        cut = [name for name, (blob, _) in known.items() if blob][-NAMED_MAX:]
        there = f"those that were cut are {', '.join(cut)}" if cut else "no output of it was cut"
        raise NotFound(f"this run has no output of a call {wanted!r}", remedy=there)
    blob, text = known[wanted]
    if not blob:
        return text.encode()
    journal = call.services.get(Appender)
    await journal.flush()  # The blob may ride a commit that is still to come.
    return await journal.blob(Digest(blob))


async def _own_state(call: Call) -> RunState:
    if call.run is None:
        raise Invalid("outputs belong to a run", remedy="call it from a run; `oxios runs show RUN` shows a run's calls")
    state = await call.services.get(Supervisor).state(call.run)
    if call.principal not in (agent(call.run), state.owner):
        raise AccessDenied(f"run {call.run} belongs to {state.owner}", layer="capability", remedy="ask its owner")
    return state
