"""A model that takes its time, in a process of its own: what it does is said in the goal.

    python -m tests.bench.web_model

`busy N SECONDS`: N tool calls, SECONDS of thought before each. `stop`: a command that never ends, with children.
`words N SECONDS`: an answer of N words, SECONDS between them. What is asked of a phase is answered `trivial`.
It prints its base URL and serves until its standard input ends.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from kernel.testing.model_server import Answer, Asked, Reaction, Scene, ScriptedCall, model_server
from tests.bench.stopping import COMMAND
from tests.cycle_world import TRIVIAL

_WISH: Final = re.compile(r"(busy|words|stop)(?: (\d+) ([\d.]+))?")
_EVENT: Final = re.compile(rb"data: .*?\n\n", re.DOTALL)


def respond(asked: Asked) -> Reaction:
    messages = asked.body["messages"]
    if not asked.body.get("tools"):
        return Answer(text=json.dumps(TRIVIAL))
    found = _WISH.search(str(messages[1]["content"]))
    assert found is not None
    wish, count, pause_s = found[1], int(found[2] or 0), float(found[3] or 0)
    done = sum(one["role"] == "tool" for one in messages)
    if wish == "stop":
        return Answer(calls=(ScriptedCall("exec", json.dumps({"command": COMMAND})),))
    if done < count and wish == "busy":
        wanted = ScriptedCall("write", json.dumps({"path": f"n{id(asked) % 1000}.txt", "content": f"{done}\n"}))
        return Scene(Answer(text=f"step {done}", calls=(wanted,)), cut=_late, pause_s=pause_s)
    if wish == "words" and not done:
        wanted = ScriptedCall("exec", json.dumps({"command": "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done"}))
        return Scene(Answer(text="First a look. ", calls=(wanted,)), cut=_each, pause_s=pause_s)
    text = " ".join(f"word{number}" + (".\n\n" if number % 25 == 24 else "") for number in range(count))
    return Scene(Answer(text=text), cut=_each, pause_s=pause_s) if wish == "words" else Answer(text="done")


def _late(payload: bytes) -> Iterator[bytes]:
    """All of it, after the pause that follows nothing."""
    return iter((payload[:0] or b": thinking\n\n", payload))


def _each(payload: bytes) -> Iterator[bytes]:
    return iter(_EVENT.findall(payload) or [payload])


@contextmanager
def model() -> Generator[str]:
    """The base URL of one that lives as long as the block."""
    command = [sys.executable, "-m", "tests.bench.web_model"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(30)


async def _serve() -> None:
    logging.disable()  # Clients that leave in mid-answer are what is measured.
    async with model_server(respond=respond) as server:
        print(server.url, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(_serve)
