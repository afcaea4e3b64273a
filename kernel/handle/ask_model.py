"""`ask_model`: one request to a model outside any run, and its reply: for programs above the kernel.

Guarantees: the request passes the gate as `model` too, at the cost of the budget account named like
the caller's stream; model.request and model.reply (or model.failed) stand in that stream with the
`purpose` the caller gave (where it names a phase, that phase's route holds); each attempt has its own
receipt; deltas go to the live bus under the stream's name. Tools can be described to the model; what
it calls is told and never carried out. Never asked in a run's stream, whose entries are the run's own
state. Offered to no model.
Does not guarantee: that the text is what the schema asks for. Whoever asked looks at it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from kernel.capability.rights import Rights
from kernel.engine.routes import Phase
from kernel.errors import Invalid
from kernel.gate.request import Cost
from kernel.handle.people import UserDesk
from kernel.ids import RunId
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.ports.provider import Message, Reply
from kernel.process.supervisor import Supervisor
from kernel.runtime.dispatch import Caller
from kernel.runtime.receipts import Receipts
from kernel.runtime.sending import OUTPUT_TOKENS_MAX, Outgoing, Sending
from kernel.runtime.text import tokens_of
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim

ASKED_BYTES_MAX: Final = 192 * 1024
"""Of system, messages and schema together: the request stands whole in one journal entry."""
BACKSTOP_S: Final = 7_300.0
"""The engine's own bounds (`routing.deadline_s`, `routing.wait_s`) come before this, at their largest too."""
_SCHEMA_HEADING: Final = "Answer with one JSON value and nothing else. It fits this JSON Schema:"


class AskedMessage(BaseModel):
    """One message of the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["user", "assistant"]
    text: str


class AskArgs(Args):
    """`answer_schema` is a JSON Schema, told to the model after `system`."""

    model: str
    purpose: str = Field(pattern=r"[a-z][a-z_]{0,31}")
    system: str = ""
    messages: tuple[AskedMessage, ...] = Field(min_length=1, max_length=200)
    answer_schema: dict[str, Any] | None = None
    describe_tools: bool = False
    output_tokens_max: int = Field(default=OUTPUT_TOKENS_MAX, ge=1, le=OUTPUT_TOKENS_MAX)


@syscall(
    "ask_model",
    AskArgs,
    claims=lambda args: (NameClaim("model", args.model, Rights.EXECUTE),),
    effect=Effect.READ,
    deadline_s=BACKSTOP_S,
    offered=False,
)
async def ask_model(call: Call, args: AskArgs) -> ToolResult:
    """Ask a model once, in the caller's own stream; the reply is text, with what it would have called."""
    supervisor = call.services.get(Supervisor)
    await supervisor.desk.refresh()
    outgoing = await _outgoing(call, args, supervisor)
    if call.run is not None:
        await supervisor.accounts.reopen(call.run)
    journal, stream = call.services.get(Appender), outgoing.stream

    def record(kind: str, payload: JsonObject) -> Awaitable[Entry]:
        return journal.append(Draft(call.principal, stream, kind, payload))

    receipts = Receipts(record, {"model": args.model}, {"purpose": args.purpose, "call": call.id})
    receipts.requested()
    reply, used = await Sending(supervisor.dispatcher, supervisor.desk, _caller(call)).ask(outgoing, receipts)
    return ToolResult(reply.text, _data(reply, used))


async def _outgoing(call: Call, args: AskArgs, supervisor: Supervisor) -> Outgoing:
    """Raises: Invalid (too long, or asked in a run's stream); NotFound (model)."""
    supervisor.desk.provider_of(args.model)
    if call.run is not None and await call.services.get(Appender).rows("runs", {"id": call.run}, limit=1):
        raise Invalid(f"{call.run} is a run's own stream", remedy="ask in a stream that no run has")
    messages = (Message("system", _system(args)), *(Message(one.role, one.text) for one in args.messages))
    size = sum(len(message.text.encode()) for message in messages)
    if size > ASKED_BYTES_MAX:
        raise Invalid(f"the request has {size} bytes", remedy=f"send at most {ASKED_BYTES_MAX}")
    table = supervisor.dispatcher.table
    specs = table.tool_specs(item.name for item in table.offered()) if args.describe_tools else ()
    return Outgoing(
        stream=call.run or RunId(SYSTEM_STREAM),
        call=call.id,
        model=args.model,
        messages=messages if messages[0].text else messages[1:],
        prompt_tokens=tokens_of(messages),
        tools=specs,
        output_tokens_max=args.output_tokens_max,
        phase=cast("Phase", args.purpose) if args.purpose in get_args(Phase) else "other",
    )


def _system(args: AskArgs) -> str:
    if args.answer_schema is None:
        return args.system
    import json  # noqa: PLC0415 -- where a schema is asked for

    schema = json.dumps(args.answer_schema, ensure_ascii=False, sort_keys=True)
    return f"{args.system}\n\n{_SCHEMA_HEADING}\n{schema}".strip()


def _caller(call: Call) -> Caller:
    """The same principal, its account named like its stream."""
    role = call.services.get(UserDesk).role_of(call.principal)
    return Caller(call.principal, call.owner, role, run=call.run, account=call.run or "")


def _data(reply: Reply, used: Cost) -> dict[str, JsonValue]:
    calls = [{"name": one.name, "arguments": one.arguments} for one in reply.calls]
    return {
        "model": reply.model,
        "finish": reply.finish,
        "tokens": used.tokens,
        "micro_usd": used.micro_usd,
        "calls": cast("list[JsonValue]", calls),
    }
