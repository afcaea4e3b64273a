"""A model server in a process of its own: asks to read or write one file again and again, then says that it is done.

    python -m tests.bench.model_process ROUNDS read|write [WORDS]

It prints its port, serves until its standard input ends, and then prints when each request had come
(JSON, monotonic seconds). It speaks streamed OpenAI-compatible chat completions over loopback and
does as little as possible, so that what is measured is the client. How far a conversation is, it
reads from the conversation. A reply goes out as one piece, or begins with WORDS words of text; then
each event is a piece and a packet of its own, as from a model that takes its time.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

TOOL_MESSAGE = re.compile(rb'"role": ?"tool"')
LENGTH = re.compile(rb"content-length: ?(\d+)", re.IGNORECASE)
TOPIC = re.compile(rb"conversation (\d+)")
NOTES = "One line of the notes.\n" * 5
MODEL = "scripted"
OPENING = "opening.json"
"""The file in which a floor finds what its requests begin with."""
_DONE = b"data: [DONE]\n\n"


def goal_of(number: int) -> str:
    """The goal of one conversation: each has a file of its own, as `path_of` names it."""
    return f"Study your notes, conversation {number}."


def path_of(number: int) -> str:
    return f"notes{number}.txt"


def _event(delta: dict[str, object], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if usage is None else []
    event = {"id": "c", "object": "chat.completion.chunk", "model": MODEL, "choices": choices, "usage": usage}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _reply(number: int, rounds: int, tool: str, path: str) -> list[bytes]:
    """The events of a reply."""
    usage = _event({}, usage={"prompt_tokens": 100 + number, "completion_tokens": 12, "total_tokens": 112 + number})
    if number >= rounds:
        said = [_event({"role": "assistant", "content": "All of it "}), _event({"content": "was read."})]
        return [*said, _event({}, "stop"), usage, _DONE]
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": {"name": tool, "arguments": ""}}
    # Each call differs a little, as a model's would: going round in circles is noticed and stopped.
    varying = {"limit": number + 1} if tool == "read" else {"content": f"{NOTES}{number}\n"}
    arguments = json.dumps({"path": path, **varying})
    return [
        _event({"role": "assistant", "content": None, "tool_calls": [call]}),
        *(
            _event({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            for part in (arguments[:5], arguments[5:])
        ),
        _event({}, "tool_calls"),
        usage,
        _DONE,
    ]


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as far as one well-behaved client needs it."""

    def __init__(self, rounds: int, tool: str, words: int, arrivals: list[float]) -> None:
        self._rounds = rounds
        self._tool = tool
        self._words = [_event({"content": f" word{number}"}) for number in range(words)]
        self._arrivals = arrivals
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        found = LENGTH.search(self._received, 0, end) if end >= 0 else None
        if found is None or self._transport is None:
            return
        whole = end + 4 + int(found[1])
        if len(self._received) >= whole:
            self._arrivals.append(time.monotonic())
            number = len(TOOL_MESSAGE.findall(self._received, end))
            topic = TOPIC.search(self._received, end)
            path = path_of(int(topic[1]) if topic else 0)
            del self._received[:whole]
            self._send(self._transport, _reply(number, self._rounds, self._tool, path))

    def _send(self, transport: asyncio.Transport, events: list[bytes]) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        if not self._words:
            body = b"".join(events)
            transport.write(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return
        transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for event in (*self._words, *events):
            transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        transport.write(b"0\r\n\r\n")


async def _serve(rounds: int, tool: str, words: int) -> None:
    loop = asyncio.get_running_loop()
    arrivals: list[float] = []
    server = await loop.create_server(lambda: _Connection(rounds, tool, words, arrivals), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(arrivals))


@contextmanager
def model_server(
    rounds: int, tool: str = "read", *, words: int = 0, arrivals: list[float] | None = None
) -> Generator[str]:
    """The base URL of a server that lives as long as the block. `arrivals` gets when each request had come."""
    command = [sys.executable, "-m", "tests.bench.model_process", str(rounds), tool, str(words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        printed, _ = process.communicate()
    if arrivals is not None:
        arrivals += json.loads(printed)


def provider_at(url: str) -> dict[str, str]:
    """The environment that makes such a server the default provider."""
    return {
        "OXIOS__PROVIDERS__BENCH__KIND": "openai",
        "OXIOS__PROVIDERS__BENCH__BASE_URL": url,
        "OXIOS__MODEL__DEFAULT": f"bench/{MODEL}",
        "OXIOS__RUN__TURNS_MAX": "1000",
    }


if __name__ == "__main__":
    _rounds, _tool, *_words = sys.argv[1:]
    asyncio.run(_serve(int(_rounds), _tool, int(_words[0]) if _words else 0))
