"""The adapter over pydantic-ai: what its models are told, and what their errors are among ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from pydantic_ai import exceptions as theirs
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelResponse,
    SystemPromptPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from kernel.adapters.providers.vendor import VendorProvider, make
from kernel.adapters.providers.vendors.exchange import error_of, model_of
from kernel.errors import DeadlinePassed, Invalid, OxiosError, ProviderDown
from kernel.ports.provider import (
    Attachment,
    ContextOverflow,
    KeyRefused,
    Message,
    ModelRequest,
    ModelUnknown,
    Overloaded,
    ProviderConfig,
    QuotaSpent,
    RateLimited,
    Reply,
    TimedOut,
    ToolCall,
    ToolSpec,
    Waits,
)

CONVERSATION = (
    Message("system", "You act."),
    Message("user", "look", attachments=(Attachment("image/png", b"png", "a.png"),)),
    Message("assistant", "I look.", (ToolCall("c1", "read", '{"path":"a"}'), ToolCall("c2", "ls", "{broken"))),
    Message("tool", "hello", call_id="c1"),
    Message("tool", "no such", call_id="c2", is_error=True),
    Message("user", "go on"),
)
READ = ToolSpec("read", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
Streaming = Callable[[list[ModelMessage], AgentInfo], AsyncIterator[str]]


def provider_of(stream: Streaming, waits: Waits | None = None) -> VendorProvider:
    model = FunctionModel(stream_function=stream, model_name="scripted")
    return VendorProvider(ProviderConfig("v", "vendor", waits=waits or Waits()), {}, lambda _name, _key: model)


async def ask(provider: VendorProvider, request: ModelRequest) -> Reply:
    events = [event async for event in provider.stream(request)]
    assert isinstance(events[-1], Reply)
    return events[-1]


def test_a_conversation_arrives_whole() -> None:
    """Roles, files, calls and results stand where pydantic-ai looks for them; a result names its tool."""
    heard: list[list[ModelMessage]] = []
    offered: list[str] = []

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        heard.append(messages)
        offered.extend(tool.name for tool in info.function_tools)
        yield "done"

    request = ModelRequest("x:y", CONVERSATION, (READ,), temperature=0.0)
    reply = anyio.run(ask, provider_of(stream), request)
    assert (reply.text, reply.model, offered) == ("done", "v/scripted", ["read"])
    first, said, results = heard[0]
    assert isinstance(first.parts[0], SystemPromptPart)
    assert isinstance(first.parts[1], UserPromptPart)
    assert isinstance(first.parts[1].content[0], BinaryContent)
    assert isinstance(said, ModelResponse)
    assert [part.args for part in said.parts if isinstance(part, ToolCallPart)] == [
        '{"path":"a"}',
        '{"malformed": "{broken"}',
    ]
    returned = [part for part in results.parts if isinstance(part, ToolReturnPart)]
    assert [(part.tool_name, part.tool_call_id, part.outcome) for part in returned] == [
        ("read", "c1", "success"),
        ("ls", "c2", "failed"),
    ]
    assert isinstance(results.parts[-1], UserPromptPart)


def test_the_test_model_of_pydantic_ai_calls_a_tool() -> None:
    """A model class that is not ours goes through the same adapter."""
    provider = VendorProvider(ProviderConfig("v", "vendor", model="test"), {}, model_of)
    reply = anyio.run(ask, provider, ModelRequest("", (Message("user", "hi"),), (READ,)))
    assert [call.name for call in reply.calls] == ["read"]
    assert reply.usage.reported
    assert isinstance(model_of("test", ""), TestModel)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (theirs.ModelRateLimitError("m", "slow down", retry_after=7.0), RateLimited),
        (theirs.ModelQuotaExceededError("m", "empty"), QuotaSpent),
        (theirs.ModelOverloadedError("m", "busy"), Overloaded),
        (theirs.ModelServerError("m", "oops"), ProviderDown),
        (theirs.ModelAuthenticationError("m", "who?"), KeyRefused),
        (theirs.ModelNotFoundError("m", "what?"), ModelUnknown),
        (theirs.ModelContextWindowExceededError("m", "long"), ContextOverflow),
        (theirs.ModelRequestRejectedError("m", "bad"), Invalid),
        (theirs.UserError("wrong"), Invalid),
        (theirs.UnexpectedModelBehavior("odd"), ProviderDown),
        (theirs.ModelHTTPError(503, "m"), ProviderDown),
    ],
)
def test_an_error_is_told_by_its_type(error: Exception, kind: type[OxiosError]) -> None:
    """Each of pydantic-ai's errors is one of ours, with the wait that the provider asked for."""
    found = error_of("v", error)
    assert type(found) is kind
    assert getattr(found, "retry_after_s", None) == (7.0 if kind is RateLimited else None)


def test_an_error_of_a_stream_comes_out_typed() -> None:
    """What a model class raises within a request is one of ours."""

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        yield "half"
        raise theirs.ModelRateLimitError("m", "slow down")

    with pytest.raises(RateLimited, match="slow down"):
        anyio.run(ask, provider_of(stream), ModelRequest("x:y", (Message("user", "hi"),)))


@pytest.mark.parametrize(
    ("waits", "deadline_s", "kind"),
    [(Waits(9, 0.05, 0.05), 9.0, TimedOut), (Waits(9, 9, 9), 0.05, DeadlinePassed)],
)
@pytest.mark.parametrize("said", ["", "half"])
def test_silence_has_a_deadline(waits: Waits, deadline_s: float, kind: type[OxiosError], said: str) -> None:
    """Before the first word and between two, and for the request as a whole."""

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        if said:
            yield said
        await anyio.sleep_forever()
        yield "never"

    with pytest.raises(kind):
        anyio.run(ask, provider_of(stream, waits), ModelRequest("x:y", (Message("user", "hi"),), deadline_s=deadline_s))


@pytest.mark.parametrize("name", ["nonsense", "nobody:m", ""])
def test_a_model_that_nobody_knows_is_said(name: str) -> None:
    """A name that pydantic-ai does not know is refused with how to write one."""
    with pytest.raises(ModelUnknown, match="cannot be asked") as raised:
        model_of(name, "")
    assert "VENDOR:MODEL" in raised.value.remedy


def test_a_missing_sdk_is_said() -> None:
    """A vendor whose SDK is not installed is named with what to install."""
    with pytest.raises(Invalid, match="the SDK for groq:llama is not installed"):
        model_of("groq:llama", "sk-x")


def test_an_address_is_refused() -> None:
    """The model's name says who is asked; an address would be passed over in silence."""
    with pytest.raises(Invalid, match="takes no address"):
        make(ProviderConfig("v", "vendor", "http://127.0.0.1:1/v1"))


def test_a_key_that_is_named_and_not_there_is_said() -> None:
    """The provider's own variable decides where it is named."""
    provider = VendorProvider(ProviderConfig("v", "vendor", key_env="V_KEY"), {}, lambda _name, _key: TestModel())
    with pytest.raises(KeyRefused, match="no key"):
        anyio.run(ask, provider, ModelRequest("x:y", (Message("user", "hi"),)))
