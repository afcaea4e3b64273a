"""Our conversation as pydantic-ai's. Nothing is cached: this adapter is allowed to be slow."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequest as TheirRequest
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from kernel.adapters.providers.body import object_text, sendable_name
from kernel.ports.provider import Message, ModelRequest, ToolSpec


def messages_of(messages: Sequence[Message]) -> list[ModelMessage]:
    """Turns of one side are one message; a result carries the name of the tool that its call named."""
    found: list[ModelMessage] = []
    asked: list[ModelRequestPart] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role != "assistant":
            asked.append(_part(message, names))
            continue
        if asked:
            found.append(TheirRequest(asked))
            asked = []
        names |= {call.id: sendable_name(call.name) for call in message.calls}
        found.append(ModelResponse(_said(message)))
    if asked:
        found.append(TheirRequest(asked))
    return found


def parameters_of(tools: Sequence[ToolSpec]) -> ModelRequestParameters:
    offered = [
        ToolDefinition(name=tool.name, parameters_json_schema=dict(tool.schema), description=tool.description)
        for tool in tools
    ]
    return ModelRequestParameters(function_tools=offered)


def settings_of(request: ModelRequest) -> ModelSettings:
    settings = ModelSettings(max_tokens=request.output_tokens_max, timeout=request.deadline_s)
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    return settings


def _part(message: Message, names: dict[str, str]) -> ModelRequestPart:
    if message.role == "system":
        return SystemPromptPart(message.text)
    if message.role == "tool":
        name = names.get(message.call_id, "unknown")
        outcome = "failed" if message.is_error else "success"
        return ToolReturnPart(name, message.text, message.call_id, outcome=outcome)
    content: list[UserContent] = [BinaryContent(one.data, media_type=one.media_type) for one in message.attachments]
    return UserPromptPart([*content, message.text] if content else message.text)


def _said(message: Message) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = [TextPart(message.text)] if message.text.strip() else []
    parts += [ToolCallPart(sendable_name(call.name), object_text(call.arguments), call.id) for call in message.calls]
    return parts
