"""How many tokens a prompt can have at most, before a provider has counted it.

Guarantees: no tokenizer makes more of a prompt, as long as it makes no token of less than a byte, and
of the kernel's own words (instructions, tools) no more than one of two bytes; a model's frames cost at
most FRAME_TOKENS a message and TOOLS_TOKENS for having tools. Where the same model has counted the
beginning of the conversation, its count stands for that part. A budget reserves by this, so that an
honest provider never reports more than was reserved; everything else uses the estimate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kernel.ports.provider import Message, ToolSpec

FRAME_TOKENS: Final = 16
TOOLS_TOKENS: Final = 512
"""What vendors put before the tools on their own account."""
ATTACHMENT_TOKENS: Final = 4096
"""Beside its bytes: a small file may hold a large picture."""
_OWN_BYTES_PER_TOKEN: Final = 2


@dataclass(slots=True)
class PromptBound:
    """The bound of one growing conversation."""

    tools: Sequence[ToolSpec] = ()
    _model: str = ""
    _count: int = 0
    _counted: int = 0
    """How many messages, from the first, `_count` is of."""

    def at_most(self, model: str, messages: Sequence[Message]) -> int:
        """Tokens of a prompt of these messages, as `model` may count them."""
        if model == self._model:
            return self._count + _tokens_at_most(messages[self._counted :])
        tools = TOOLS_TOKENS + sum(map(_own, self.tools)) if self.tools else 0
        return tools + _tokens_at_most(messages)

    def counted(self, model: str, tokens: int, messages: Sequence[Message]) -> None:
        """`model` reported that these messages, and the tools, were `tokens`: believed where that can be."""
        if 0 < tokens <= self.at_most(model, messages):
            self._model, self._count, self._counted = model, tokens, len(messages)

    def forget(self) -> None:
        """The conversation is another now."""
        self._model = ""


def _tokens_at_most(messages: Iterable[Message]) -> int:
    return sum(FRAME_TOKENS + _message(message) for message in messages)


def _message(message: Message) -> int:
    size = _bytes(message.text)
    if message.role == "system":
        size = -(-size // _OWN_BYTES_PER_TOKEN)
    size += sum(FRAME_TOKENS + _bytes(call.name) + _bytes(call.arguments) for call in message.calls)
    return size + sum(ATTACHMENT_TOKENS + len(one.data) for one in message.attachments)


def _own(tool: ToolSpec) -> int:
    size = _bytes(tool.name) + _bytes(tool.description) + len(json.dumps(tool.schema))
    return FRAME_TOKENS - (-size // _OWN_BYTES_PER_TOKEN)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
