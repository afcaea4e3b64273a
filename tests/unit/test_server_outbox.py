"""What waits for a command's terminal: in order, bounded, and never at the event loop's cost."""

from __future__ import annotations

import json
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from oxios.server.outbox import HELD_BYTES_MAX, Outbox, Sent

BIG = "x" * (1024 * 1024)


async def _drain(outbox: Outbox) -> list[dict[str, str]]:
    lines = b""
    while (piece := await outbox.next()) is not None:
        lines += piece
    return [json.loads(line) for line in lines.splitlines()]


def test_what_was_put_comes_out_in_order_and_whole() -> None:
    """From the loop and from threads; after `finish` nothing is missing."""

    async def check() -> None:
        outbox = Outbox(lambda: None)
        for number in range(50):
            outbox.put({"out": f"loop {number}"})
            await to_thread.run_sync(partial(outbox.put, {"out": f"thread {number}"}))
        outbox.finish()
        told = [line["out"] for line in await _drain(outbox)]
        assert told == [f"{who} {number}" for number in range(50) for who in ("loop", "thread")]

    anyio.run(check)


def test_a_thread_waits_for_a_slow_terminal() -> None:
    """It gets no further than the bound before the terminal reads, and loses nothing."""

    async def check() -> None:
        outbox = Outbox(lambda: None)
        put = 0

        def write() -> None:
            nonlocal put
            for _ in range(30):
                outbox.put({"out": BIG})
                put += 1

        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                await to_thread.run_sync(write)
                outbox.finish()

            tasks.start_soon(run)
            while put * len(BIG) < HELD_BYTES_MAX:
                await anyio.lowlevel.checkpoint()
            assert put < 30
            assert len(await _drain(outbox)) == 30

    anyio.run(check)


def test_the_event_loop_does_not_wait_and_lets_the_terminal_go() -> None:
    """Beyond the bound the terminal is told to be lost, once, and memory stays as it was."""

    async def check() -> None:
        lost: list[bool] = []
        outbox = Outbox(lambda: lost.append(True))
        for _ in range(30):
            outbox.put({"out": BIG})
        assert lost == [True]
        assert await outbox.next() is None

    anyio.run(check)


def test_closing_frees_a_thread_that_waits() -> None:
    """A terminal that is gone holds no command up."""

    async def check() -> None:
        outbox = Outbox(lambda: None)
        put = 0

        def write() -> None:
            nonlocal put
            for _ in range(30):
                outbox.put({"out": BIG})
                put += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(to_thread.run_sync, write)
            while put * len(BIG) < HELD_BYTES_MAX:
                await anyio.lowlevel.checkpoint()
            outbox.close()
        assert put == 30

    anyio.run(check)


def test_a_closed_stream_says_so_to_who_writes() -> None:
    """As a pipe whose reader left: writing and flushing raise."""

    async def check() -> None:
        stream = Sent(Outbox(lambda: None), "out", terminal=False)
        stream.write("well")
        stream.broken = True
        with pytest.raises(BrokenPipeError):
            stream.write("x")
        with pytest.raises(BrokenPipeError):
            stream.flush()

    anyio.run(check)
