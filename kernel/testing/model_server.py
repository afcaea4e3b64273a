"""A scripted model server on loopback: as well-behaved, or as broken, as a test wants.

Guarantees: one script drives both wire formats, OpenAI-compatible chat completions and Anthropic's
messages; answers come in the order of the script, or from `respond` where many runs ask at once;
every request is kept whole in `requests`; a request beyond the script is answered 500 and noted in
`unexpected`, which a test asserts to be empty. It takes any model name, lists `models`, and checks
no key of its own accord.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio

from kernel.testing import chat_format, messages_format
from kernel.testing.model_script import Answer, Cut, Fault, Raw, Reaction, Scene, ScriptedCall, Then, in_pieces

if TYPE_CHECKING:
    from aiohttp import web

__all__ = [
    "Answer",
    "Asked",
    "Cut",
    "Fault",
    "ModelServer",
    "Raw",
    "Reaction",
    "Scene",
    "ScriptedCall",
    "Then",
    "in_pieces",
    "model_server",
]

CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    body: Mapping[str, Any]
    raw: bytes
    headers: Mapping[str, str]
    path: str = CHAT


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
    models: tuple[str, ...] = ("scripted-1",)

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

    async def reply(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        server.connections.add(id(transport))
        raw = await request.read()
        asked = Asked(json.loads(raw), raw, dict(request.headers), request.path)
        try:
            return await _play(request, server.react(asked))
        except (anyio.get_cancelled_exc_class(), ConnectionError):
            server.gone.set()
            raise

    async def models(_request: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model", "owned_by": "scripted"} for name in server.models]
        return web.json_response({"object": "list", "data": listed})

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post(CHAT, reply)
    app.router.add_post(MESSAGES, reply)
    app.router.add_get("/v1/models", models)
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
    content_type, payload = _payload(body, request.path)
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


def _payload(body: Answer | Raw, path: str) -> tuple[str, bytes]:
    if isinstance(body, Raw):
        return body.content_type, body.body
    form = messages_format if path == MESSAGES else chat_format
    if body.stream:
        return "text/event-stream", form.encode_stream(body)
    return "application/json", form.encode_whole(body)
