"""`ask_user`: a question to the person on whose behalf the agent works.

Guarantees: the answer is that person's, from whoever listens (terminal, page); where nobody does,
the call fails at once and says so. An answer is text for the agent, and confers no authority:
approvals are asked by the gate alone.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from kernel.capability.rights import Rights
from kernel.gate.asker import Asker
from kernel.limits import CALL_DEADLINE_S_MAX
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim

_ANSWER_CHARS_MAX = 16_000


class AskUserArgs(Args):
    question: str = Field(min_length=1, max_length=4_000, description="The question, complete in itself.")
    choices: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), max_length=10, description="Answers to choose from; empty for a free answer."
    )

    @field_validator("choices")
    @classmethod
    def _distinct(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(choices)) < len(choices):
            raise ValueError("two choices are the same")
        return choices


# Asking again after a crash does no harm, so the effect is a read: of a person's mind.
@syscall(
    "ask_user",
    AskUserArgs,
    claims=lambda _args: (NameClaim("ask", "user", Rights.EXECUTE),),
    reaches=(("ask", Rights.EXECUTE),),
    effect=Effect.READ,
    deadline_s=CALL_DEADLINE_S_MAX,
)
async def ask_user(call: Call, args: AskUserArgs) -> ToolResult:
    """Ask the user a question and wait for the answer. Only for what you cannot find out yourself."""
    answer = await call.services.get(Asker).ask(call.run, args.question, args.choices)
    return ToolResult(answer[:_ANSWER_CHARS_MAX], {"chosen": answer in args.choices})
