"""A scripted OpenAI-compatible server on loopback: as well-behaved, or as broken, as a test wants.

Guarantees: answers come in the order of the script, or from `respond` where many runs ask at once;
every request is kept whole in `requests`; a request beyond the script is answered 500 and noted in
`unexpected`, which a test asserts to be empty. It takes any model name and checks no key of its own
accord.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio

from kernel.ports.provider import Usage

if TYPE_CHECKING:
    from aiohttp import web

Then: TypeAlias = Literal["end", "hang", "drop"]
Cut: TypeAlias = Callable[[bytes], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One tool call. `arguments` is sent as it stands, in `pieces` deltas."""

    name: str
    arguments: str = "{}"
    id: str = "auto"
    index: int | None = None
    pieces: int = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, streamed as chunks or, without `stream`, as one JSON object."""

    text: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    reasoning: str = ""
    finish: str | None = "auto"
    usage: Usage | None = Usage(input_tokens=100, output_tokens=20, cached_tokens=40)  # noqa: RUF009 -- frozen
    stream: bool = True
    done: bool = True
    """End with `[DONE]`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error status."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are."""

    body: bytes
    content_type: str = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Scene:
    """How a body is sent: cut by `cut`, and ended, held open or dropped after it. `silent`: no answer at all."""

    body: Answer | Fault | Raw
    cut: Cut | None = None
    then: Then = "end"
    silent: bool = False
    pause_s: float = 0.0
    """Between pieces, for a model that takes its time."""


Reaction: TypeAlias = Scene | Answer | Fault | Raw


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    body: Mapping[str, Any]
    raw: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class ModelServer:
    """Where it listens, and what it was asked. `gone` is set when a client left before the end."""

    url: str = ""
    requests: list[Asked] = field(default_factory=list[Asked])
    unexpected: list[Asked] = field(default_factory=list[Asked])
    connections: set[int] = field(default_factory=set[int])
    gone: anyio.Event = field(default_factory=anyio.Event)
    script: list[Reaction] = field(default_factory=list[Reaction])
    respond: Callable[[Asked], Reaction] | None = None

    def react(self, asked: Asked) -> Scene:
        self.requests.append(asked)
        if self.respond is not None:
            reaction = self.respond(asked)
        elif len(self.requests) <= len(self.script):
            reaction = self.script[len(self.requests) - 1]
        else:
            self.unexpected.append(asked)
            reaction = Fault(500, '{"error":{"message":"the script has ended"}}')
        return reaction if isinstance(reaction, Scene) else Scene(reaction)


@asynccontextmanager
async def model_server(
    script: Sequence[Reaction] = (), *, respond: Callable[[Asked], Reaction] | None = None
) -> AsyncGenerator[ModelServer]:
    """Serve on a free port of 127.0.0.1 until the block ends. `url` is a provider's base_url."""
    from aiohttp import web  # noqa: PLC0415 -- only tests that need a server pay for it

    server = ModelServer(script=list(script), respond=respond)

    async def completions(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        server.connections.add(id(transport))
        raw = await request.read()
        asked = Asked(json.loads(raw), raw, dict(request.headers))
        try:
            return await _play(request, server.react(asked))
        except (anyio.get_cancelled_exc_class(), ConnectionError):
            server.gone.set()
            raise

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/chat/completions", completions)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    try:
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}/v1"
        yield server
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await runner.cleanup()


async def _play(request: web.Request, scene: Scene) -> web.StreamResponse:
    from aiohttp import web  # noqa: PLC0415 -- as above

    if scene.silent:
        await anyio.sleep_forever()
    body = scene.body
    if isinstance(body, Fault):
        return web.Response(status=body.status, text=body.body, headers=body.headers, content_type="application/json")
    content_type, payload = _payload(body)
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for piece in scene.cut(payload) if scene.cut else (payload,):
        await response.write(piece)
        await anyio.sleep(scene.pause_s)
    if scene.then == "hang":
        await anyio.sleep_forever()
    if scene.then == "drop":
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _payload(body: Answer | Raw) -> tuple[str, bytes]:
    if isinstance(body, Raw):
        return body.content_type, body.body
    if body.stream:
        return "text/event-stream", encode_stream(body)
    return "application/json", json.dumps(_whole(body)).encode()


def encode_stream(answer: Answer) -> bytes:
    """The events of an answer, one after another."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": word} for word in _words(answer.reasoning)]
    deltas += [{"content": word} for word in _words(answer.text)]
    for place, call in enumerate(answer.calls):
        deltas += _call_deltas(call, place)
    chunks = [_chunk(delta, None) for delta in deltas]
    if answer.finish is not None:
        chunks.append(_chunk({}, _finish(answer)))
    if answer.usage is not None:
        chunks.append({"object": "chat.completion.chunk", "choices": [], "usage": _usage(answer.usage)})
    events = [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if answer.done else b"")


def in_pieces(size: int) -> Cut:
    """Cut into pieces of `size` bytes, whatever they split."""
    return lambda payload: (payload[start : start + size] for start in range(0, len(payload), size))


def _whole(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": _id(call, place),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for place, call in enumerate(answer.calls)
        ]
    whole: dict[str, Any] = {"object": "chat.completion", "model": "scripted-1"}
    whole["choices"] = [{"index": 0, "message": message, "finish_reason": _finish(answer)}]
    if answer.usage is not None:
        whole["usage"] = _usage(answer.usage)
    return whole


def _call_deltas(call: ScriptedCall, place: int) -> list[dict[str, Any]]:
    index = place if call.index is None else call.index
    size = max(1, -(-len(call.arguments) // max(1, call.pieces)))
    pieces = [call.arguments[start : start + size] for start in range(0, len(call.arguments), size)]
    first = {
        "index": index,
        "id": _id(call, place),
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
    return [{"tool_calls": [one]} for one in (first, *rest)]


def _chunk(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "scripted-1", "choices": [choice]}


def _finish(answer: Answer) -> str | None:
    return answer.finish if answer.finish != "auto" else ("tool_calls" if answer.calls else "stop")


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _id(call: ScriptedCall, place: int) -> str:
    return f"call_{place + 1}" if call.id == "auto" else call.id


def _words(text: str) -> list[str]:
    """As a model would stream it: a word and the space before it at a time."""
    words: list[str] = []
    for word in text.split(" "):
        words.append(f" {word}" if words else word)
    return words if text else []
