"""A provider's lane: places, minutes, and the order of arrival."""

from __future__ import annotations

import anyio
import pytest

from kernel.engine.lanes import Bucket, Lane, LaneLimits
from kernel.testing.clock import FakeClock


def run_all(lane: Lane, sizes: list[int]) -> tuple[list[int], int]:
    """The order in which requests of these sizes began, and the most under way at once."""
    began: list[int] = []
    most = 0

    async def one(number: int, size: int) -> None:
        nonlocal most
        async with lane.slot(size):
            began.append(number)
            most = max(most, lane.under_way)
            await anyio.lowlevel.checkpoint()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number, size in enumerate(sizes):
                group.start_soon(one, number, size)

    anyio.run(main)
    return began, most


@pytest.mark.parametrize("places", [1, 3])
def test_never_more_than_the_places(places: int) -> None:
    """Ten requests, few places: they begin in order, and never more than that at once."""
    lane = Lane(LaneLimits(places), FakeClock())
    assert run_all(lane, [1] * 10) == (list(range(10)), places)
    assert (lane.under_way, lane.waiting) == (0, 0)


def test_requests_a_minute_are_kept() -> None:
    """Six a minute: the first six at once, each further one ten seconds after the last."""
    clock = FakeClock()
    began, _ = run_all(Lane(LaneLimits(100, requests_per_min=6), clock), [1] * 9)
    assert began == list(range(9))
    assert clock.slept == pytest.approx([10.0] * 3)


def test_tokens_a_minute_are_kept_and_large_requests_are_not_overtaken() -> None:
    """Sixty tokens a minute: a large request waits for its tokens, and the small one behind it waits too."""
    clock = FakeClock()
    began, _ = run_all(Lane(LaneLimits(100, tokens_per_min=60), clock), [60, 30, 1])
    assert began == [0, 1, 2]
    assert sum(clock.slept) == pytest.approx(31.0)


def test_a_request_larger_than_a_minute_waits_for_a_full_bucket() -> None:
    """It is let through rather than refused for ever."""
    clock = FakeClock()
    began, _ = run_all(Lane(LaneLimits(100, tokens_per_min=60), clock), [30, 1_000])
    assert (began, sum(clock.slept)) == ([0, 1], pytest.approx(30.0))


def test_a_bucket_never_holds_more_than_a_minute() -> None:
    """An idle hour saves nothing up."""
    bucket = Bucket(60, 60.0, 0.0)
    assert bucket.wait_s(60, 3600.0) == 0.0
    bucket.take(60, 3600.0)
    assert bucket.wait_s(60, 3600.0) == pytest.approx(60.0)


def test_a_waiter_that_is_cancelled_leaves_its_place() -> None:
    """Whoever gives up while waiting holds nobody else up."""
    lane = Lane(LaneLimits(1), FakeClock())

    async def main() -> None:
        async with lane.slot(1):
            with anyio.move_on_after(0):
                async with lane.slot(1):
                    raise AssertionError("the place was taken")
            assert (lane.under_way, lane.waiting) == (1, 0)
        with anyio.fail_after(5):
            async with lane.slot(1):
                assert lane.under_way == 1

    anyio.run(main)


def test_an_error_gives_the_place_back() -> None:
    """A request that fails frees its place."""
    lane = Lane(LaneLimits(1), FakeClock())

    async def main() -> None:
        with pytest.raises(ValueError, match="x"):
            async with lane.slot(1):
                raise ValueError("x")
        assert lane.under_way == 0

    anyio.run(main)
