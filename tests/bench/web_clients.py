"""Many browsers that only listen, in a process of their own.

    python -m tests.bench.web_clients URL COUNT COOKIE

Each holds `/events` open and reads all that comes. It prints `ready` once all are connected, and when its standard
input ends what they got, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import urlsplit

_AT_ONCE: Final = 25
_READ_BYTES: Final = 65536


@dataclass(slots=True)
class Heard:
    """What all of them got. `ended` are those whose stream the server ended."""

    connected: int = 0
    events: int = 0
    bytes: int = 0
    ended: int = 0


@dataclass(slots=True)
class Crowd:
    """`heard` is filled when the block ends."""

    process: subprocess.Popen[str]
    heard: Heard = field(default_factory=Heard)


@contextmanager
def crowd(url: str, count: int, cookie: str) -> Generator[Crowd]:
    """Raises: RuntimeError, where they could not connect."""
    command = [sys.executable, "-m", "tests.bench.web_clients", url, str(count), cookie]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the listening clients did not connect")
        made = Crowd(process)
        yield made
        said, _ = process.communicate(timeout=60)
        made.heard = Heard(**json.loads(said))


async def _listen(url: str, cookie: str, heard: Heard, slots: asyncio.Semaphore) -> None:
    place = urlsplit(url)
    async with slots:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        head = f"GET /events HTTP/1.1\r\nHost: {place.netloc}\r\nAccept: text/event-stream\r\nCookie: {cookie}\r\n\r\n"
        writer.write(head.encode())
        begun = await reader.readuntil(b"connected")
        if b" 200 " not in begun.splitlines()[0]:
            raise RuntimeError(begun.splitlines()[0].decode())
    heard.connected += 1
    while chunk := await reader.read(_READ_BYTES):
        heard.events += chunk.count(b"event: ")
        heard.bytes += len(chunk)
    heard.ended += 1


async def _main(url: str, count: int, cookie: str) -> None:
    heard, slots = Heard(), asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_listen(url, cookie, heard, slots)) for _ in range(count)]
        while heard.connected < count:  # noqa: ASYNC110 -- the listeners make it so
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(json.dumps(asdict(heard)), flush=True)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
