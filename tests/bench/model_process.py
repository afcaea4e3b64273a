"""A model server in a process of its own: asks to read or write one file again and again, then says that it is done.

    python -m tests.bench.model_process ROUNDS read|write     prints its port, serves until its standard input ends

It speaks streamed OpenAI-compatible chat completions over loopback and does as little as possible,
so that what is measured is the client. How far a conversation is, it reads from the conversation.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

TOOL_MESSAGE = re.compile(rb'"role": ?"tool"')
LENGTH = re.compile(rb"content-length: ?(\d+)", re.IGNORECASE)
TOPIC = re.compile(rb"conversation (\d+)")
NOTES = "One line of the notes.\n" * 5
MODEL = "scripted"


def goal_of(number: int) -> str:
    """The goal of one conversation: each has a file of its own, as `path_of` names it."""
    return f"Study your notes, conversation {number}."


def path_of(number: int) -> str:
    return f"notes{number}.txt"


def _event(delta: dict[str, object], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if usage is None else []
    event = {"id": "c", "object": "chat.completion.chunk", "model": MODEL, "choices": choices, "usage": usage}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _reply(number: int, rounds: int, tool: str, path: str) -> bytes:
    usage = _event({}, usage={"prompt_tokens": 100 + number, "completion_tokens": 12, "total_tokens": 112 + number})
    if number >= rounds:
        said = _event({"role": "assistant", "content": "All of it "}) + _event({"content": "was read."})
        return said + _event({}, "stop") + usage + b"data: [DONE]\n\n"
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": {"name": tool, "arguments": ""}}
    # Each call differs a little, as a model's would: going round in circles is noticed and stopped.
    varying = {"limit": number + 1} if tool == "read" else {"content": f"{NOTES}{number}\n"}
    arguments = json.dumps({"path": path, **varying})
    parts = [
        _event({"role": "assistant", "content": None, "tool_calls": [call]}),
        *(
            _event({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            for part in (arguments[:5], arguments[5:])
        ),
        _event({}, "tool_calls"),
    ]
    return b"".join([*parts, usage, b"data: [DONE]\n\n"])


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as far as one well-behaved client needs it."""

    def __init__(self, rounds: int, tool: str) -> None:
        self._rounds = rounds
        self._tool = tool
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
            number = len(TOOL_MESSAGE.findall(self._received, end))
            topic = TOPIC.search(self._received, end)
            path = path_of(int(topic[1]) if topic else 0)
            del self._received[:whole]
            body = _reply(number, self._rounds, self._tool, path)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)


async def _serve(rounds: int, tool: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(rounds, tool), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def model_server(rounds: int, tool: str = "read") -> Generator[str]:
    """The base URL of a server that lives as long as the block."""
    command = [sys.executable, "-m", "tests.bench.model_process", str(rounds), tool]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.communicate()


def provider_at(url: str) -> dict[str, str]:
    """The environment that makes such a server the default provider."""
    return {
        "OXIOS__PROVIDERS__BENCH__KIND": "openai",
        "OXIOS__PROVIDERS__BENCH__BASE_URL": url,
        "OXIOS__MODEL__DEFAULT": f"bench/{MODEL}",
        "OXIOS__RUN__TURNS_MAX": "1000",
    }


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
