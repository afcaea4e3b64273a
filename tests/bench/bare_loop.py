"""The floor of a tool round: a loop that talks to the model, reads or writes the file and commits one row.

python -m tests.bench.bare_loop URL FOLDER ROUNDS [RUNS [each|group|none]]     prints what it took, as JSON

FOLDER holds the workspace and `opening.json`: a first request, whose prompt and tools each request repeats.
Each message is encoded once. The commit is SQLite's, durable, one a round, on the loop's own thread;
with `group` one for all runs that wait for theirs, with `none` nothing is kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from tests.bench import floors
from tests.bench.measure import Spent, Stopwatch
from tests.bench.model_process import OPENING, goal_of

WARM_ROUNDS = 3


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the messages in each request: the same prompt and tools that the kernel sends."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, opening: bytes) -> Frame:
        options = json.loads(opening)
        messages, tools = options.pop("messages"), options.pop("tools")
        head = _dump(options)[:-1] + b',"messages":[' + _dump(messages[0]) + b","
        return cls(head, b'],"tools":' + _dump(tools) + b"}")


async def _reply(session: aiohttp.ClientSession, url: str, frame: Frame, messages: list[bytes]) -> dict[str, Any]:
    """The assembled assistant message."""
    body = frame.head + b",".join(messages) + frame.tail
    text, calls = "", list[dict[str, Any]]()
    headers = {"Content-Type": "application/json"}
    async with session.post(f"{url}/chat/completions", data=body, headers=headers) as response:
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                delta = choice["delta"]
                text += delta.get("content") or ""
                for part in delta.get("tool_calls", ()):
                    if "id" in part:
                        calls.append(part)
                    else:
                        calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return {**message, "tool_calls": calls} if calls else message


def _act(folder: Path, arguments: dict[str, str]) -> str:
    path = folder / "workspace" / arguments["path"]
    if "content" not in arguments:
        return path.read_text(encoding="utf-8")
    path.write_text(arguments["content"], encoding="utf-8")
    return "written"


@dataclass(frozen=True, slots=True)
class Bare:
    """What a conversation needs."""

    session: aiohttp.ClientSession
    url: str
    folder: Path
    frame: Frame
    keep: Callable[[bytes], Awaitable[None]]

    async def run(self, topic: int, rounds_max: int) -> int:
        """One conversation to its end; returns the rounds it had."""
        messages = [_dump({"role": "user", "content": goal_of(topic)})]
        for number in range(rounds_max):
            message = await _reply(self.session, self.url, self.frame, messages)
            messages.append(_dump(message))
            if "tool_calls" not in message:
                return number
            for call in message["tool_calls"]:
                content = _act(self.folder, json.loads(call["function"]["arguments"]))
                messages.append(_dump({"role": "tool", "tool_call_id": call["id"], "content": content}))
            await self.keep(messages[-1])
        return rounds_max


@asynccontextmanager
async def _log(folder: Path, kind: str) -> AsyncGenerator[Callable[[bytes], Awaitable[None]]]:
    """What keeps one row."""

    async def each(payload: bytes) -> None:
        connection.execute(floors.INSERT, floors.row(payload))

    async def none(_payload: bytes) -> None:
        return

    with closing(floors.open_log(folder / "bare.db")) as connection:
        group = floors.GroupLog(connection)
        async with anyio.create_task_group() as committer:
            if kind == "group":
                committer.start_soon(group.commit_for_ever)
            yield {"each": each, "group": group.append, "none": none}[kind]
            committer.cancel_scope.cancel()


async def main(url: str, folder: Path, rounds: int, runs: int, log: str) -> Spent:
    """What `runs` conversations at once took; a short one before them warms everything up."""
    async with _log(folder, log) as keep, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        bare = Bare(session, url, folder, Frame.of((folder / OPENING).read_bytes()), keep)
        await bare.run(0, WARM_ROUNDS)
        watch = Stopwatch()
        async with anyio.create_task_group() as group:
            for topic in range(runs):
                group.start_soon(bare.run, topic, rounds + 1)
        return watch.read()
    raise AssertionError("the block above returns")


if __name__ == "__main__":
    _url, _folder, _rounds, *_rest = sys.argv[1:]
    _runs, _kind = [*_rest, *("1", "each")[len(_rest) :]]
    _spent = anyio.run(main, _url, Path(_folder), int(_rounds), int(_runs), _kind)
    print(json.dumps(asdict(_spent)))
