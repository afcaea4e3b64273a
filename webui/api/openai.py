"""`/v1`: Oxios' agents for any client of OpenAI's API, with a user's token as its key."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

from litestar import Request
from litestar.response.base import ASGIResponse

from kernel.errors import OxiosError
from webui import faults, sse
from webui.desk import Desk
from webui.openai.asking import chosen, offered, session_of, wanted_of
from webui.openai.forms import (
    AnswerMessage,
    Behind,
    Choice,
    CompletionIn,
    CompletionOut,
    ModelName,
    ModelOut,
    ModelsOut,
    Usage,
)
from webui.openai.telling import aside
from webui.openai.threads import Place, Threads
from webui.openai.turn import Carried
from webui.rest.operation import operation

_US = 1_000_000
_HELLO = b": connected\n\n"


@operation("GET", "/v1/models", "openai_models")
async def openai_models(desk: Desk) -> ModelsOut:
    """Personas, and models as `oxios/PROVIDER/MODEL`."""
    return ModelsOut(data=[_model(desk, name) for name in offered(desk)])


@operation("GET", "/v1/models/{model}", "openai_model", tail=True)
async def openai_model(desk: Desk, model: ModelName) -> ModelOut:
    """One of them; its slashes as they are, or encoded."""
    chosen(desk, model)
    return _model(desk, model)


def _model(desk: Desk, name: str) -> ModelOut:
    return ModelOut(id=name, created=desk.house.opened_us // _US, owned_by="oxios")


@operation(
    "POST",
    "/v1/chat/completions",
    "openai_complete",
    scope="run",
    faults=(404,),
    body_bytes_max=24 * 1024 * 1024,
    streams=True,
)
async def openai_complete(desk: Desk, request: Request[Any, Any, Any], body: CompletionIn) -> CompletionOut:
    """Say something to an agent, and wait for its reply; with `stream`, hear it as it is written.

    A turn of a session: the one that the earlier messages were said in, else a new one. With `stream` the answer
    is `text/event-stream`: chunks whose deltas have `content` (what the agent writes, as it writes it, and at the
    end what of the reply was not sent yet) or `reasoning_content` (phases, calls and thoughts), and `[DONE]`.
    Closing the stream ends the turn.
    """
    threads: Threads = request.app.state.threads
    wanted = wanted_of(desk, body)
    session, context = await session_of(desk, threads, wanted)
    carried = Carried(desk, session, wanted, context)
    told = _Told(carried, body.model, desk.kernel.clock.now_us() // _US)
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return _streamed(told, threads, request, usage=usage)  # pyright: ignore[reportReturnType] -- documented as the whole
    async with aclosing(carried.pieces()) as coming:
        pieces = [piece async for piece in coming]
    _learn(carried, threads, carried.content)
    return told.whole(aside(pieces, carried.telling.written, carried.content))


class _Told:
    """A turn in OpenAI's words."""

    def __init__(self, carried: Carried, model: str, created: int) -> None:
        self.carried = carried
        self._model = model
        self._created = created

    @property
    def id(self) -> str:
        return f"chatcmpl-{self.carried.session.id}-{self.carried.session.next_number}"

    def whole(self, reasoning: str) -> CompletionOut:
        carried = self.carried
        message = AnswerMessage(content=carried.content, reasoning_content=reasoning or None)
        return CompletionOut(
            id=f"chatcmpl-{carried.session.id}-{carried.turn.number}",
            created=self._created,
            model=self._model,
            choices=[Choice(message=message, finish_reason=carried.finish)],
            usage=self.usage(),
            oxios=self.behind(),
        )

    def usage(self) -> Usage:
        read, written = self.carried.telling.prompt_tokens, self.carried.telling.completion_tokens
        return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)

    def behind(self) -> Behind:
        carried = self.carried
        return Behind(
            session=carried.session.id,
            turn=carried.turn.number,
            status=carried.turn.status,
            runs=carried.telling.runs,
            unused=carried.wanted.unused,
        )

    def chunk(self, ident: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
        said = {
            "id": ident,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
            **more,
        }
        return _data(said)


def _streamed(told: _Told, threads: Threads, request: Request[Any, Any, Any], *, usage: bool) -> ASGIResponse:
    ident = told.id

    async def write(put: sse.Put) -> None:
        await put(told.chunk(ident, [_choice({"role": "assistant", "content": ""})]))
        try:
            content = ""
            async with aclosing(told.carried.pieces()) as pieces:
                async for piece in pieces:
                    content += piece.text if piece.field == "content" else ""
                    await put(told.chunk(ident, [_choice({piece.field: piece.text})]))
            _learn(told.carried, threads, content, told.carried.content)
            behind = told.behind().model_dump()
            await put(told.chunk(ident, [_choice({}, told.carried.finish)], oxios=behind))
            if usage:
                await put(told.chunk(ident, [], usage=told.usage().model_dump()))
        except OxiosError as error:
            await put(_data(faults.openai_form(faults.problem_of(error))))
        except Exception as error:  # noqa: BLE001 -- the answer has begun: a client is told as it would be by a status
            answer = faults.on_anything(request, error)
            await put(_data(faults.openai_form(answer.content)))
        await put(b"data: [DONE]\n\n")

    return sse.EventAnswer(write, _HELLO)


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _data(said: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(said, ensure_ascii=False)}\n\n".encode()


def _learn(carried: Carried, threads: Threads, *answers: str) -> None:
    """The turn goes on from its answer, in each form in which a client may have it."""
    asked = (*carried.wanted.before, ("user", carried.wanted.text))
    place = Place(carried.session.id, carried.turn.number)
    pasts = [(*asked, ("assistant", answer)) for answer in dict.fromkeys(answers)]
    threads.learn(carried.desk.user.principal, pasts, place)


ROUTES = [openai_models, openai_model, openai_complete]
