"""One request through a pydantic-ai model: its events as ours, its errors as ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final

from pydantic_ai import exceptions as theirs
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider_class

from kernel.adapters.providers.gather import Gathered, usage_of
from kernel.adapters.providers.vendors.translate import messages_of, parameters_of, settings_of
from kernel.errors import Invalid, OxiosError, ProviderDown
from kernel.ports.provider import (
    CallDelta,
    ContentRefused,
    ContextOverflow,
    FinishReason,
    KeyRefused,
    ModelEvent,
    ModelRequest,
    ModelUnknown,
    Overloaded,
    QuotaSpent,
    RateLimited,
    Reply,
    TimedOut,
)

_FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "tool_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


def model_of(name: str, key: str) -> Model:
    """Raises: ModelUnknown (pydantic-ai knows none of that name), Invalid (its SDK or its key is missing)."""
    try:
        return infer_model(name, lambda vendor: _provider(vendor, key)) if key else infer_model(name)
    except ImportError as error:
        raise Invalid(f"the SDK for {name} is not installed: {error}", remedy="install it as it says") from error
    except (theirs.UserError, ValueError) as error:
        remedy = "write it as VENDOR:MODEL, and set the variable that holds the vendor's key"
        raise ModelUnknown(f"{name} cannot be asked: {error}", remedy=remedy) from error


async def exchange(provider: str, model: Model, request: ModelRequest) -> AsyncGenerator[ModelEvent]:
    """Deltas, then the reply. Raises: ProviderDown, Invalid and their kinds."""
    gathering = _Gathering()
    try:
        async with model_request_stream(
            model,
            messages_of(request.messages),
            model_settings=settings_of(request),
            model_request_parameters=parameters_of(request.tools),
            instrument=False,
        ) as stream:
            async for event in stream:
                for ours in gathering.take(event):
                    yield ours
            response = stream.get()
    except (theirs.AgentRunError, theirs.UserError) as error:
        raise error_of(provider, error) from error
    if response.state == "incomplete":
        raise ProviderDown(f"{provider} broke off before its reply was whole", remedy="try again", kind="network")
    yield gathering.reply(response, provider, len(request.messages), model.model_name)


@dataclass(slots=True)
class _Gathering:
    """Parts of a streamed reply, by their index."""

    gathered: Gathered = field(default_factory=Gathered)
    calls: dict[int, int] = field(default_factory=dict[int, int])

    def take(self, event: ModelResponseStreamEvent) -> list[ModelEvent]:
        match event:
            case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                return self.gathered.say([text], [], []) if text else []
            case (
                PartStartEvent(part=ThinkingPart(content=thought))
                | PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(thought)))
            ):
                return self.gathered.say([], [thought], []) if thought else []
            case PartStartEvent(index=index, part=ToolCallPart() as call):
                self.calls[index] = self.gathered.open(call.tool_call_id, call.tool_name)
                return [self._grow(index, call.args)]
            case PartDeltaEvent(index=index, delta=ToolCallPartDelta(args_delta=more)) if index in self.calls:
                return [self._grow(index, more)]
            case _:
                return []

    def reply(self, response: ModelResponse, provider: str, id_seed: int, asked: str) -> Reply:
        spent = response.usage
        usage = usage_of(spent.input_tokens, spent.output_tokens, spent.cache_read_tokens, spent.cache_write_tokens)
        finish = _FINISH.get(response.finish_reason, "other") if response.finish_reason else "stop"
        return self.gathered.reply(finish, usage, f"{provider}/{response.model_name or asked}", id_seed)

    def _grow(self, index: int, args: object) -> CallDelta:
        position = self.calls[index]
        call = self.gathered.calls[position]
        fragment = args if isinstance(args, str) else json.dumps(args) if args else ""
        call.parts.append(fragment)
        return CallDelta(position, call.name, fragment)


def error_of(provider: str, error: Exception) -> OxiosError:
    """What an error of pydantic-ai is among ours, by its type."""
    said = f"{provider}: {error}"
    wait_s = error.retry_after if isinstance(error, theirs.ModelAPIError) else None
    status = error.status_code if isinstance(error, theirs.ModelHTTPError) else 0
    match error:
        case theirs.ModelRateLimitError():
            return RateLimited(said, remedy="wait, or use another key or model", retry_after_s=wait_s, status=status)
        case theirs.ModelQuotaExceededError():
            return QuotaSpent(said, remedy="top up the account behind the key, or use another model")
        case theirs.ModelOverloadedError():
            return Overloaded(said, remedy="try again later", retry_after_s=wait_s, status=status)
        case theirs.ModelTimeoutError() | theirs.ModelRequestTimeout():
            return TimedOut(said, remedy="try again later", retry_after_s=wait_s, status=status)
        case theirs.ModelConnectionError():
            return ProviderDown(said, remedy="try again; check the network", kind="network")
        case _:
            return _rejected(provider, said, error) or ProviderDown(
                said, remedy="try again later", retry_after_s=wait_s, status=status, kind="server"
            )


def _rejected(provider: str, said: str, error: Exception) -> OxiosError | None:
    """The errors that the same request would meet again."""
    match error:
        case theirs.ModelContextWindowExceededError():
            return ContextOverflow(said, remedy="shorten the conversation, or use a model that takes more")
        case theirs.ModelAuthenticationError():
            return KeyRefused(said, remedy=f"check the key: providers.{provider}.key_env, or the SDK's own variable")
        case theirs.ModelNotFoundError():
            return ModelUnknown(said, remedy="check the model's name")
        case theirs.ContentFilterError():
            return ContentRefused(said, remedy="say it in other words, or use another model")
        case theirs.ModelRequestRejectedError() | theirs.UserError():
            return Invalid(said, remedy="the request is at fault; see what the provider says")
        case _:
            return None


def _provider(vendor: str, key: str) -> Provider[object]:
    made: type[Provider[object]] = infer_provider_class(vendor)
    return made(api_key=key)  # pyright: ignore[reportCallIssue] -- every provider with a key takes it by this name
