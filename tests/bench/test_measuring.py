"""The measuring itself: what is counted is really done, and the table says what was measured. Nothing is timed here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import anyio
import pytest

from kernel.ports.provider import ModelRequest
from kernel.testing.provider import ScriptedProvider, say
from tests.bench import floors, gate, journal, models, process, rounds
from tests.bench.measure import Figure, Spent, Stopwatch, from_pairs, paired, table
from tests.bench.model_process import goal_of
from tests.bench.opening import opening
from tests.world import open_world


def test_a_figure_is_met_on_its_side_of_the_bound() -> None:
    """At most, at least and a ratio are each judged on the right side; nothing asked is neither."""
    assert Figure("a", "s", 1.0, bound=1.0).met
    assert Figure("a", "s", 1.1, bound=1.0).met is False
    assert Figure("a", "1/s", 0.9, bound=1.0, at_least=True).met is False
    assert Figure("a", "s", 9.0, bound=1.3, bounds_ratio=True, ratio=1.2).met
    assert Figure("a", "s", 9.0).met is None


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    """A repetition that the machine slowed down for both does not move the ratio."""
    figure = from_pairs("a", "s", [(2.0, 1.0), (20.0, 10.0), (4.0, 2.0)], "floor", None)
    assert (figure.value, figure.floor, figure.ratio) == (4.0, 2.0, 2.0)


def test_candidate_and_floor_take_turns() -> None:
    """Each repetition measures both, the candidate first."""
    order: list[str] = []

    def measured(name: str) -> Callable[[], float]:
        return lambda: float(len(order)) if order.append(name) is None else 0.0

    assert paired(measured("candidate"), measured("floor"), 2) == [(1.0, 2.0), (3.0, 4.0)]
    assert order == ["candidate", "floor"] * 2


def test_the_table_names_what_is_not_met() -> None:
    """A reader sees at once which figure misses what was asked."""
    page = table([Figure("slow", "s", 2.0, 1.0, "floor", 1.0, ratio=2.0), Figure("free", "s", 1234.5)])
    assert "| slow | 2 s | ≤ 1: **not met** | 1 (floor) | 2.00 |" in page
    assert "| free | 1,234 s |  |  |  |" in page


@pytest.mark.parametrize("module", ["tests.bench.bare_loop", "tests.bench.kernel_loop"])
def test_a_trial_does_every_round(module: str, tmp_path: Path) -> None:
    """Candidate and floor alike end a conversation of the asked length, or fail aloud."""
    done = rounds.trial(module, tmp_path, rounds=4, runs=2)
    assert done.rounds == 8
    assert done.spent.cpu_s > 0
    assert not list(tmp_path.iterdir())


def test_the_floor_sends_what_the_kernel_sends(tmp_path: Path) -> None:
    """The same prompt and the same tools stand before and after both conversations."""

    async def asked() -> ModelRequest:
        provider = ScriptedProvider([say("done")])
        async with open_world(tmp_path, provider=provider) as world:
            await world.run(goal_of(0))
        return provider.requests[0]

    sent, floor = anyio.run(asked), json.loads(opening((tmp_path / "work").resolve()))
    assert [tool["function"]["name"] for tool in floor["tools"]] == [tool.name for tool in sent.tools]
    assert floor["messages"][0]["content"] == sent.messages[0].text


def test_a_streamed_reply_is_streamed_to_all_three(tmp_path: Path) -> None:
    """Kernel and both floors get every word, and the server saw each request of theirs."""
    done = models.three(tmp_path, rounds=2, words=3)
    assert [len(one.arrivals) for one in (done.ours, done.bare, done.grouped)] == [6, 6, 6]
    assert not list(tmp_path.iterdir())


def test_a_long_run_is_measured_at_both_ends() -> None:
    """The warming requests are left out, and the last rounds are not mixed with the first."""
    rounds_s = [9.0] * 4 + [0.001] * models.EDGE + [0.5] * (models.LONG - 2 * models.EDGE) + [0.003] * models.EDGE
    arrivals = (0.0, *accumulate(rounds_s))
    early_ms, late_ms = models.edges_ms(rounds.Trial(Spent(1, 1), models.LONG, arrivals=arrivals))
    assert (round(early_ms, 6), round(late_ms, 6)) == (1.0, 3.0)


def test_a_token_costs_what_more_of_them_cost_more() -> None:
    """What a run costs without any word is taken off, and each request's words count."""
    many, none = (rounds.Trial(Spent(1.0, cpu_s), models.SHORT) for cpu_s in (0.054, 0.010))
    assert round(models.token_us(many, none), 6) == 10.0


def test_growth_of_memory_is_seen() -> None:
    """What was held at the peak counts, though it is gone when the watch is read."""
    watch = Stopwatch()
    held = b"\1" * (64 << 20)
    del held
    assert watch.read().grown_mb > 30 or not Path("/proc/self/status").exists()


def test_journal_and_gate_are_measured(tmp_path: Path) -> None:
    """A short pass of each ends with a positive figure beside a positive floor."""
    figures = [
        journal.append_figure(tmp_path, entries=640, repetitions=1),
        journal.verify_figure(tmp_path, entries=640, repetitions=1),
        gate.decision_figure(tmp_path, decisions=20, repetitions=1),
    ]
    assert all(figure.value > 0 and figure.floor and figure.ratio for figure in figures)


def test_a_group_commit_stores_every_row(tmp_path: Path) -> None:
    """The floor of the journal is honest: it really waits for each of its rows."""
    assert floors.group_commit_per_s(tmp_path, writers=4, entries=40, payload=b"x") > 0
    assert floors.read_and_hash_per_s(tmp_path, entries=40, payload=b"x") > 0
    assert not list(tmp_path.glob("*.db"))


def test_a_process_is_measured_by_the_system() -> None:
    """CPU time and peak memory of a child are its own, and its output is kept."""
    used = process.usage_of([shutil.which("sh") or "sh", "-c", "echo said"])
    assert used.output == "said\n"
    assert used.rss_mb > 0


def test_syncs_are_read_from_strace() -> None:
    """Counts of each kind of sync are added up; lines of other calls are not counted."""
    report = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        " 90.00    0.100000          10        12           fdatasync\n"
        " 10.00    0.010000          10         3         1 fsync\n"
        "100.00    0.110000          20        15         1 total\n"
    )
    assert rounds.syncs_of(report) == 15
