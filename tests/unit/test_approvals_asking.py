"""Asking a person: answers, silence, folding, cancelling, answering late and from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kernel.directive import Budget
from kernel.errors import AccessDenied, Conflict, NotFound, Unavailable
from kernel.gate.approvals import NOBODY, PRE_APPROVAL_S
from kernel.gate.asker import Answer
from kernel.gate.decision import Denied
from kernel.gate.policy import Rules
from kernel.ids import KERNEL, ApprovalId, RunId, agent, principal, user
from kernel.syscalls.target import CommandTarget
from kernel.testing.memory_store import MemoryStore
from tests.unit.approval_world import World, open_world, run_world
from tests.unit.gate_case import ALICE, RUN, case_of, request_of

OTHER = RunId("r-other")
GIT = CommandTarget(("git", "status"), shell=False, programs=("git",), network=True)


def test_an_answer_of_once_lets_exactly_that_call_through(tmp_path: Path) -> None:
    """The next identical call asks again, and both questions and answers are in the journal."""

    async def body(world: World) -> None:
        world.person.script = [Answer("once"), Answer("deny", "not twice")]
        first = await world.admit(request_of(number=1), GIT)
        assert isinstance(first, str)
        assert not world.approvals.redeem(first, request_of(number=1))  # used up
        second = await world.admit(request_of(number=2), GIT)
        assert isinstance(second, Denied)
        assert "not twice" in second.reason
        assert await world.kinds() == ["approval.asked", "approval.answered"] * 2
        row = await world.approvals.show(first)
        assert (row.status, row.choice, row.answered_by, row.owner) == ("granted", "once", ALICE, ALICE)

    run_world(tmp_path, body)


def test_an_approval_is_bound_to_its_caller_and_arguments(tmp_path: Path) -> None:
    """Neither another principal nor other arguments pass by somebody's approval."""

    async def body(world: World) -> None:
        world.person.script = [Answer("once")]
        request = request_of(text="a")
        stopped = await world.check(case_of(request, {"command": GIT}))
        assert stopped is not None
        approval = await world.approvals.resolve(request, stopped.question)
        assert isinstance(approval, str)
        assert not world.approvals.redeem(approval, request_of(text="b"))
        assert not world.approvals.redeem(approval, request_of(text="a", principal=principal("agent:other")))
        assert not world.approvals.redeem("p-unknown", request)
        assert world.approvals.redeem(approval, request)

    run_world(tmp_path, body)


def test_the_question_is_durable_before_anyone_is_asked(tmp_path: Path) -> None:
    """Whoever is asked finds the question in the journal; it names target, reason, consequence, way back."""

    async def body(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.admit, request_of(), GIT)
            await world.person.heard.wait()
            (row,) = await world.approvals.listed(pending_only=True)
            assert row.run == RUN
            assert row.expires_us - row.asked_us == 120_000_000
            question = row.question
            assert question.target == "git status (with network)"
            assert "agent:" in question.why
            assert "send anything" in question.enables
            assert question.undoable is False
            assert question.keys[0] == "exec:git"
            group.cancel_scope.cancel()

    run_world(tmp_path, body)


def test_nobody_listening_means_deny_at_once_and_says_how_to_allow(tmp_path: Path) -> None:
    """The refusal names the terminal, the flag, the setting and the command."""

    async def body(world: World) -> None:
        world.person.listening = False
        refused = await world.admit(request_of(), GIT)
        assert isinstance(refused, Denied)
        assert refused.layer == "approval"
        assert NOBODY in refused.reason
        for way in ("terminal", "--approve auto", "approval.allow", "exec:git", "oxios approvals allow p"):
            assert way in refused.remedy
        world.rules = Rules("manual")
        manual = await world.admit(request_of(), GIT)
        assert isinstance(manual, Denied)
        assert "approval.allow" not in manual.remedy  # it would not help
        assert world.person.asked == []
        for row in await world.approvals.listed():
            assert (row.status, row.answered_by) == ("denied", KERNEL)

    run_world(tmp_path, body)


def test_silence_is_a_denial_when_the_time_is_up(tmp_path: Path) -> None:
    """One moment before the end the question stands; at the end it is expired, and nobody is asked on."""

    async def body(world: World) -> None:
        answers: list[str | Denied | None] = []

        async def call() -> None:
            answers.append(await world.admit(request_of(), GIT))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await world.person.heard.wait()
            world.clock.advance(119.999)
            await anyio.wait_all_tasks_blocked()
            assert len(await world.approvals.listed(pending_only=True)) == 1
            world.clock.advance(0.001)
        assert isinstance(answers[0], Denied)
        assert "within 120 s" in answers[0].reason
        assert world.person.given_up == 1
        (row,) = await world.approvals.listed()
        assert row.status == "expired"

    run_world(tmp_path, body)


def test_a_listener_that_fails_is_a_denial(tmp_path: Path) -> None:
    """A prompt that cannot be shown allows nothing."""

    async def body(world: World) -> None:
        world.person.script = [Unavailable("the terminal is gone")]
        refused = await world.admit(request_of(), GIT)
        assert isinstance(refused, Denied)
        assert "the terminal is gone" in refused.reason

    run_world(tmp_path, body)


def test_identical_questions_at_once_are_asked_once(tmp_path: Path) -> None:
    """Three equal calls in parallel give one question; its answer lets three through, and no fourth."""

    async def body(world: World) -> None:
        answers: list[str | Denied | None] = []

        async def call(number: int) -> None:
            answers.append(await world.admit(request_of(number=number), GIT))

        async with anyio.create_task_group() as group:
            for number in (1, 2, 3):
                group.start_soon(call, number)
            await world.person.heard.wait()
            await anyio.wait_all_tasks_blocked()
            asked = await world.approvals.listed(pending_only=True)
            await world.approvals.answer(asked[0].id, Answer("once"), ALICE)
        (row,) = await world.approvals.listed()
        assert answers == [row.id] * 3
        assert len(world.person.asked) == 1
        assert not world.approvals.redeem(row.id, request_of())

    run_world(tmp_path, body)


def test_different_arguments_are_different_questions(tmp_path: Path) -> None:
    """Two calls on one target with other contents are each asked about."""

    async def body(world: World) -> None:
        world.person.script = [Answer("once"), Answer("deny")]
        async with anyio.create_task_group() as group:
            for text in ("a", "b"):
                group.start_soon(world.admit, request_of(text=text), GIT)
        assert len(world.person.asked) == 2

    run_world(tmp_path, body)


def test_the_first_answer_counts_and_a_later_one_is_told_so(tmp_path: Path) -> None:
    """An answer from another surface ends the terminal's question; a second answer is a conflict."""

    async def body(world: World) -> None:
        answers: list[str | Denied | None] = []

        async def call() -> None:
            answers.append(await world.admit(request_of(), GIT))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await world.person.heard.wait()
            asked = await world.approvals.listed(pending_only=True)
            answered = await world.approvals.answer(asked[0].id, Answer("deny", "no"), ALICE)
            assert answered.status == "denied"
        (row,) = await world.approvals.listed()
        assert world.person.given_up == 1
        assert isinstance(answers[0], Denied)
        await world.approvals.answer(row.id, Answer("once"), ALICE)  # a changed mind, for the next time
        with pytest.raises(Conflict):
            await world.approvals.answer(row.id, Answer("once"), ALICE)
        with pytest.raises(NotFound):
            await world.approvals.answer(ApprovalId("p-none"), Answer("once"), ALICE)

    run_world(tmp_path, body)


@pytest.mark.parametrize("who", [agent(RUN), KERNEL, principal("job:nightly")])
def test_only_a_person_answers(tmp_path: Path, who: str) -> None:
    """An agent, a job and the kernel itself are refused, whatever they hold."""

    async def body(world: World) -> None:
        world.person.listening = False
        await world.admit(request_of(), GIT)
        (row,) = await world.approvals.listed()
        with pytest.raises(AccessDenied):
            await world.approvals.answer(row.id, Answer("once"), principal(who))

    run_world(tmp_path, body)


def test_waiting_for_a_person_does_not_use_the_budget(tmp_path: Path) -> None:
    """The stopwatch of the run stands while the question does."""

    async def body(world: World) -> None:
        world.budgets.open("account", Budget(seconds_max=60))
        request = request_of(account="account")
        async with anyio.create_task_group() as group:
            group.start_soon(world.admit, request, GIT)
            await world.person.heard.wait()
            world.clock.advance(100)
            (row,) = await world.approvals.listed(pending_only=True)
            await world.approvals.answer(row.id, Answer("once"), ALICE)
        assert world.budgets.active_us("account") == 0

    run_world(tmp_path, body)


def test_a_call_given_up_takes_its_question_back(tmp_path: Path) -> None:
    """When the run is stopped nobody is asked on, and the question ends as expired."""

    async def body(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.admit, request_of(), GIT)
            await world.person.heard.wait()
            group.cancel_scope.cancel()
        await world.journal.flush()
        (row,) = await world.approvals.listed()
        assert row.status == "expired"
        assert world.person.given_up == 1

    run_world(tmp_path, body)


def test_an_answer_after_the_end_is_taken_up_by_the_same_call_once(tmp_path: Path) -> None:
    """Deny, `approvals allow`, again: the owner's next identical question is answered by it, and no other."""

    async def body(world: World) -> None:
        world.person.listening = False
        assert isinstance(await world.admit(request_of(number=1), GIT), Denied)
        (row,) = await world.approvals.listed()
        allowed = await world.approvals.answer(row.id, Answer("once"), ALICE)
        assert allowed.status == "allowed"
        other = CommandTarget(("git", "push"), shell=False, programs=("git",), network=True)
        assert isinstance(await world.admit(request_of(number=2), other), Denied)
        assert isinstance(await world.admit(request_of(number=3, text="else"), GIT), Denied)
        bobs = replace(request_of(number=4), owner=user("bob"))
        assert isinstance(await world.admit(bobs, GIT), Denied)
        taken = await world.admit(request_of(number=4, run=OTHER, principal=agent(OTHER)), GIT)
        assert isinstance(taken, str)
        assert (await world.approvals.show(row.id)).status == "used"
        assert row.id in (await world.approvals.show(taken)).reason
        assert isinstance(await world.admit(request_of(number=5), GIT), Denied)

    run_world(tmp_path, body)


def test_an_answer_after_the_end_does_not_stand_for_ever(tmp_path: Path) -> None:
    """Taken up within its time; a moment later the call asks again."""
    for late, passes in ((0.0, True), (1.0, False)):

        async def body(world: World, late: float = late, passes: bool = passes) -> None:
            world.person.listening = False
            await world.admit(request_of(), GIT)
            (row,) = await world.approvals.listed()
            await world.approvals.answer(row.id, Answer("once"), ALICE)
            world.clock.advance(PRE_APPROVAL_S + late)
            assert isinstance(await world.admit(request_of(), GIT), str) is passes

        run_world(tmp_path / str(late), body)


def test_a_crash_leaves_no_question_standing_and_answers_survive_it(tmp_path: Path) -> None:
    """At the next boot the open question is expired; allowed then, the resumed run's call passes."""
    store = MemoryStore()

    async def main() -> None:
        async with open_world(tmp_path, store) as world, anyio.create_task_group() as group:
            group.start_soon(world.admit, request_of(), GIT)
            await world.person.heard.wait()
            await world.journal.flush()
            await _forget_abandoned(world)
            group.cancel_scope.cancel()
        async with open_world(tmp_path, store) as world:
            world.person.listening = False
            assert await world.approvals.recover() == 1
            assert await world.approvals.recover() == 0
            (row,) = await world.approvals.listed()
            assert row.status == "expired"
            await world.approvals.answer(row.id, Answer("run"), ALICE)
        async with open_world(tmp_path, store) as world:
            world.person.listening = False
            assert await world.admit(request_of(number=9), GIT) is None

    anyio.run(main)


async def _forget_abandoned(world: World) -> None:
    """As a crash would: the question's end is not recorded."""
    world.approvals._abandon = lambda pending: None  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue] -- a crash is not a call
