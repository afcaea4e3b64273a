"""Threads that carry out changes of files."""

from __future__ import annotations

import threading

import anyio
import pytest

from kernel.tools.hands import Hands

pytestmark = pytest.mark.anyio


async def test_a_job_runs_on_another_thread_and_its_result_comes_back() -> None:
    """The event loop's own thread never waits for the disk."""
    assert await Hands().do(threading.get_ident) != threading.get_ident()


async def test_what_a_job_raises_is_raised_to_its_waiter_alone() -> None:
    """The thread lives on and does the next job."""
    hands = Hands(1)

    def fail() -> None:
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        await hands.do(fail)
    assert await hands.do(lambda: 7) == 7


async def test_jobs_run_side_by_side_and_those_beyond_the_hands_wait() -> None:
    """Two hands carry two jobs that need each other; a third job is done after them."""
    hands, meeting = Hands(2), threading.Barrier(2)
    done: list[str] = []

    async def do(name: str, *, meets: bool) -> None:
        await hands.do(lambda: meeting.wait(10) if meets else 0)
        done.append(name)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: do("one", meets=True))
            await anyio.lowlevel.checkpoint()
            group.start_soon(lambda: do("two", meets=True))
            group.start_soon(lambda: do("three", meets=False))
    assert sorted(done) == ["one", "three", "two"]
    assert sum(thread.name.startswith("hand-") for thread in threading.enumerate()) >= 2


async def test_a_job_whose_waiter_left_is_still_carried_out() -> None:
    """What was handed over happens, and the hand is free again after it."""
    hands, go, acted = Hands(1), threading.Event(), threading.Event()

    def act() -> None:
        go.wait(10)
        acted.set()

    async with anyio.create_task_group() as group:
        group.start_soon(hands.do, act)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    go.set()
    with anyio.fail_after(10):
        assert await hands.do(acted.is_set)
