"""What every provider keeps to: the embedded planner, the script, and a real client over loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import anyio
import pytest
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

from kernel.adapters.providers.registry import kinds, make_provider
from kernel.adapters.providers.vendor import VendorProvider
from kernel.errors import OxiosError, ProviderDown
from kernel.ports.provider import (
    GOAL_HEADING,
    CallDelta,
    ContextOverflow,
    Message,
    ModelEvent,
    ModelRequest,
    Provider,
    ProviderConfig,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolSpec,
)
from kernel.testing.model_script import argument_pieces, words
from kernel.testing.model_server import Answer, Fault, ModelServer, Scene, ScriptedCall, in_pieces, model_server
from kernel.testing.provider import ScriptedProvider, Turn, call, calls, say

TEXT = "hello wörld 🌍, and more"
READ = ToolSpec("read", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
PATHS = ("a.txt", "ü b.txt")
Streamed: TypeAlias = "str | dict[int, DeltaToolCall] | dict[int, DeltaThinkingPart]"
WIRES = ("openai", "anthropic")
Opened: TypeAlias = tuple[Provider, Callable[[], bool]]
"""A provider, and whether a broken-off request was noticed at its other end."""


def asking(goal: str) -> ModelRequest:
    messages = (Message("system", "You act."), Message("user", f"{GOAL_HEADING}\n\n{goal}"))
    return ModelRequest("planner", messages, (READ,), deadline_s=20.0)


SAY = asking(f'Say "{TEXT}"')
READ_BOTH = asking(f'Read {PATHS[0]} and read "{PATHS[1]}"')


def scripted_answer(request: ModelRequest) -> Answer:
    if request is SAY:
        return Answer(TEXT, reasoning="they greet")
    return Answer(calls=tuple(ScriptedCall("read", json.dumps({"path": path}), pieces=5) for path in PATHS))


@asynccontextmanager
async def embedded(_request: ModelRequest, _times: int) -> AsyncGenerator[Opened]:
    yield make_provider(ProviderConfig("embedded", "embedded")), lambda: True


@asynccontextmanager
async def scripted(request: ModelRequest, times: int) -> AsyncGenerator[Opened]:
    turn = say(TEXT) if request is SAY else calls(*(call("read", path=path) for path in PATHS))
    provider = ScriptedProvider([turn] * times)
    yield provider, lambda: provider.cancelled > 0


def over_http(kind: str, cut: int | None, *, stream: bool = True) -> Callable[..., AbstractAsyncContextManager[Opened]]:
    @asynccontextmanager
    async def opened(request: ModelRequest, times: int) -> AsyncGenerator[Opened]:
        answer = scripted_answer(request)
        whole = Answer(answer.text, answer.calls, answer.reasoning, stream=stream)
        scene = Scene(whole, in_pieces(cut) if cut else None)
        async with model_server([scene] * times) as server, client(server, kind) as provider:
            yield provider, server.gone.is_set

    return opened


@asynccontextmanager
async def client(server: ModelServer, kind: str) -> AsyncGenerator[Provider]:
    provider = make_provider(ProviderConfig("local", kind, server.url))
    try:
        yield provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def vendor(request: ModelRequest, _times: int) -> AsyncGenerator[Opened]:
    answer = scripted_answer(request)

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Streamed]:
        for word in words(answer.reasoning):
            yield {0: DeltaThinkingPart(content=word)}
        for word in words(answer.text):
            yield word
        for index, one in enumerate(answer.calls, start=2):
            yield {index: DeltaToolCall(one.name, tool_call_id=f"call_{index}")}
            for piece in argument_pieces(one):
                yield {index: DeltaToolCall(json_args=piece)}

    model = FunctionModel(stream_function=stream, model_name="scripted")
    provider = VendorProvider(ProviderConfig("vendor", "vendor", model="x:y"), {}, lambda _name, _key: model)
    yield provider, lambda: True
    await provider.aclose()


PROVIDERS = {
    "embedded": embedded,
    "scripted": scripted,
    "vendor": vendor,
    **{
        f"{kind}, {how}": over_http(kind, cut, stream=stream)
        for kind in WIRES
        for how, cut, stream in (
            ("whole", None, True),
            ("1 byte at a time", 1, True),
            ("7 bytes at a time", 7, True),
            ("not streamed", None, False),
        )
    },
}
each_provider = pytest.mark.parametrize("opened", list(PROVIDERS.values()), ids=list(PROVIDERS))


async def events_of(provider: Provider, request: ModelRequest) -> list[ModelEvent]:
    return [event async for event in provider.stream(request)]


def reply_of(events: list[ModelEvent]) -> Reply:
    assert isinstance(events[-1], Reply)
    return events[-1]


def test_every_kind_is_found_by_the_walk() -> None:
    """A provider is one file: every shipped kind is found without a list."""
    assert set(kinds()) >= {"embedded", "vendor", *WIRES}


@each_provider
def test_a_stream_ends_with_exactly_one_reply(opened: Callable[..., AbstractAsyncContextManager[Opened]]) -> None:
    """The last event is the only Reply, and the deltas before it add up to its text and reasoning."""

    async def main() -> None:
        async with opened(SAY, 1) as (provider, _):
            events = await events_of(provider, SAY)
        reply = reply_of(events)
        assert [event for event in events if isinstance(event, Reply)] == [reply]
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text
        assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == reply.reasoning
        assert (reply.text, reply.calls, reply.finish) == (TEXT, (), "stop")
        assert reply.model
        assert reply.usage.reported
        assert reply.usage.output_tokens > 0

    anyio.run(main)


@each_provider
def test_parallel_calls_are_correlated(opened: Callable[..., AbstractAsyncContextManager[Opened]]) -> None:
    """Calls of one reply have ids of their own, and each fragment belongs to its own call."""

    async def main() -> None:
        async with opened(READ_BOTH, 1) as (provider, _):
            events = await events_of(provider, READ_BOTH)
        reply = reply_of(events)
        assert reply.finish == "tool_calls"
        assert [json.loads(one.arguments) for one in reply.calls] == [{"path": path} for path in PATHS]
        assert len({one.id for one in reply.calls} - {""}) == len(PATHS)
        for index, one in enumerate(reply.calls):
            fragments = [event for event in events if isinstance(event, CallDelta) and event.index == index]
            assert "".join(event.fragment for event in fragments) == one.arguments
            assert {event.name for event in fragments} == {"read"}

    anyio.run(main)


@each_provider
def test_one_provider_serves_many_at_once(opened: Callable[..., AbstractAsyncContextManager[Opened]]) -> None:
    """A provider object is shared by runs: streams that run together do not mix."""

    async def main() -> None:
        texts: list[str] = []

        async def one(provider: Provider) -> None:
            texts.append(reply_of(await events_of(provider, SAY)).text)

        async with opened(SAY, 8) as (provider, _), anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(one, provider)
        assert texts == [TEXT] * 8

    anyio.run(main)


@each_provider
def test_an_abandoned_stream_leaves_the_provider_usable(
    opened: Callable[..., AbstractAsyncContextManager[Opened]],
) -> None:
    """Closing a stream after its first event ends that request alone."""

    async def main() -> None:
        async with opened(SAY, 2) as (provider, _):
            first = provider.stream(SAY)
            await anext(first)
            await first.aclose()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] -- a generator
            assert reply_of(await events_of(provider, SAY)).text == TEXT

    anyio.run(main)


@each_provider
def test_endpoint_is_empty_or_host_and_port(opened: Callable[..., AbstractAsyncContextManager[Opened]]) -> None:
    """What the gate checks a provider's network by is `host:port`, or nothing where it needs none."""

    async def main() -> None:
        async with opened(SAY, 1) as (provider, _):
            host, _, port = provider.endpoint.partition(":")
            assert (host, port) == ("", "") or (host in ("127.0.0.1", "*") and port.isdigit())
            assert provider.name
            await provider.aclose()
            await provider.aclose()

    anyio.run(main)


@pytest.mark.parametrize("kind", ["scripted", *WIRES])
def test_cancelling_ends_the_request_at_the_other_end(kind: str) -> None:
    """A cancelled iteration closes its connection; the provider answers the next request."""

    async def main() -> None:
        async with _hanging(kind) as (provider, noticed):
            with anyio.move_on_after(0.05) as scope:
                await events_of(provider, SAY)
            assert scope.cancelled_caught
            with anyio.fail_after(5):
                while not noticed():
                    await anyio.lowlevel.checkpoint()
            assert reply_of(await events_of(provider, SAY)).text == TEXT

    anyio.run(main)


@asynccontextmanager
async def _hanging(kind: str) -> AsyncGenerator[Opened]:
    if kind == "scripted":
        provider = ScriptedProvider([Turn(hang=True), say(TEXT)])
        yield provider, lambda: provider.cancelled == 1
        return
    half = Scene(Answer("half of", finish=None, usage=None, done=False), then="hang")
    async with model_server([half, Answer(TEXT)]) as server, client(server, kind) as real:
        yield real, server.gone.is_set


@pytest.mark.parametrize("kind", ["scripted", *WIRES])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (
            Fault(503, '{"error":{"message":"busy"}}', {"Retry-After": "7200"}),
            ProviderDown("busy", retry_after_s=3600.0),
        ),
        (Fault(400, '{"error":{"code":"context_length_exceeded","message":"too long"}}'), ContextOverflow("too long")),
    ],
)
def test_errors_are_typed(kind: str, fault: Fault, error: OxiosError) -> None:
    """What went wrong is told by the type of the error, with how long to wait where the provider said so."""

    async def main() -> None:
        if kind == "scripted":
            with pytest.raises(type(error)) as raised:
                await events_of(ScriptedProvider([Turn(error=error)]), SAY)
        else:
            async with model_server([fault]) as server, client(server, kind) as provider:
                with pytest.raises(type(error)) as raised:
                    await events_of(provider, SAY)
        assert type(raised.value) is type(error)
        assert getattr(raised.value, "retry_after_s", None) == getattr(error, "retry_after_s", None)

    anyio.run(main)
