"""The gate's core: the order, what stops a call, what a refusal leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Need
from kernel.errors import CapabilityRevoked, Invalid, KernelBug
from kernel.gate.decision import Case, Denied, LayerName, NeedsApproval, Question
from kernel.gate.gate import Approvals, Gate
from kernel.gate.layers import ORDER, CapabilityLayer, Layer
from kernel.gate.request import Request
from kernel.ids import ApprovalId, CallId, Digest, Principal, RunId
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.permit import Permit, PermitLedger
from kernel.syscalls.target import NameClaim
from kernel.testing.clock import FakeClock
from tests.unit.capability_world import MemoryJournal

pytestmark = pytest.mark.anyio

ALICE = Principal("user:alice")
BOB = Principal("agent:r1")
QUESTION = Question("ask", "user", "because", "everything", undoable=False, keys=("ask",))
ANSWER = ApprovalId("a1")
Verdict = Denied | NeedsApproval | None


class AskArgs(Args):
    text: str = ""


@syscall("ask", AskArgs, claims=lambda _args: (NameClaim("ask", "user", Rights.EXECUTE),), effect=Effect.READ)
async def ask(_call: Call, _args: AskArgs) -> ToolResult:
    """Ask."""
    raise AssertionError


@dataclass
class Step:
    """A layer that does what a test says, and writes down that it was asked."""

    name: LayerName
    seen: list[str]
    act: Callable[[Case], Verdict] = lambda _case: None

    async def check(self, case: Case) -> Verdict:
        self.seen.append(self.name)
        return self.act(case)


@dataclass
class Person:
    """Answers as it is told; `meanwhile` is what happens while the question stands."""

    answer: ApprovalId | Denied | Exception = ANSWER
    meanwhile: Callable[[], object] = lambda: None
    asked: int = 0

    async def resolve(self, request: Request, question: Question) -> ApprovalId | Denied:
        assert request.principal == BOB
        assert question == QUESTION
        self.asked += 1
        self.meanwhile()
        await anyio.lowlevel.checkpoint()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _needs_user(case: Case) -> None:
    case.needs.append(Need(Resource.target("ask", "user"), Rights.EXECUTE))


def _reserve(case: Case) -> None:
    case.reservation = 7


def _asks_once(case: Case) -> Verdict:
    return None if case.approval else NeedsApproval(QUESTION)


@dataclass
class World:
    """A gate whose capability layer is the real one and whose others are a test's."""

    acts: dict[LayerName, Callable[[Case], Verdict]] = field(default_factory=dict[LayerName, Callable[[Case], Verdict]])
    approvals: Approvals | None = None

    def __post_init__(self) -> None:
        self.journal = MemoryJournal()
        self.table = CapabilityTable(self.journal, FakeClock())
        self.ledger = PermitLedger()
        self.seen: list[str] = []
        self.refunded: list[int] = []
        acts = {"arguments": _needs_user, **self.acts}
        layers: list[Layer] = [Step(name, self.seen, acts.get(name, lambda _case: None)) for name in ORDER]
        layers[1] = CapabilityLayer(self.table)
        self.gate = Gate(
            self.journal,
            self.table,
            self.ledger,
            tuple(layers),
            refund=self.refunded.append,
            approvals=self.approvals,
        )

    async def ready(self, uses: int | None = None) -> Request:
        """Bob may ask, and asks."""
        self.cap = await self.table.mint(BOB, Resource.parse("ask:user"), Rights.EXECUTE, uses=uses, origin="test")
        return self.request()

    def request(self) -> Request:
        return Request(
            principal=BOB,
            owner=ALICE,
            role="agent",
            run=RunId("r1"),
            call=CallId("r1.1"),
            syscall=ask,
            args=AskArgs(),
            arguments=Digest("0" * 64),
            mounts=(),
        )


def _no(layer: LayerName) -> Callable[[Case], Denied]:
    return lambda _case: Denied(layer, f"{layer} says no", "try another", need="this")


async def test_all_layers_run_in_order_and_a_permit_comes_of_it() -> None:
    """A call that nothing stops passes every layer once, and gets a live permit bound to it."""
    world = World({"budget": _reserve})
    request = await world.ready()
    permit = await world.gate.decide(request)
    assert isinstance(permit, Permit)
    assert world.seen == [name for name in ORDER if name != "capability"]
    assert (permit.principal, permit.call, permit.syscall, permit.arguments) == (BOB, "r1.1", "ask", "0" * 64)
    assert permit.capabilities == (world.cap.id,)
    assert permit.reservation == 7
    assert world.ledger.live() == (permit,)
    assert world.refunded == []
    assert world.journal.kinds() == ["capability.minted"]


@pytest.mark.parametrize("stopping", [name for name in ORDER if name != "capability"])
async def test_the_first_refusal_ends_the_call_and_is_recorded(stopping: LayerName) -> None:
    """No later layer is asked; the entry in the run's stream carries layer, reason, remedy and need."""
    world = World({"budget": _reserve, stopping: _no(stopping)})
    request = await world.ready()
    denied = await world.gate.decide(request)
    assert denied == Denied(stopping, f"{stopping} says no", "try another", need="this")
    assert world.seen == [name for name in ORDER[: ORDER.index(stopping) + 1] if name != "capability"]
    assert world.ledger.live() == ()
    entry = world.journal.entries[-1]
    assert (entry.kind, entry.stream, entry.principal) == ("call.denied", "r1", BOB)
    assert entry.payload == {
        "call": "r1.1",
        "tool": "ask",
        "layer": stopping,
        "reason": f"{stopping} says no",
        "remedy": "try another",
        "need": "this",
    }


async def test_an_uncovered_need_is_refused_with_the_command_that_grants_it() -> None:
    """The capability layer names need and remedy, for any principal, the operator included."""
    world = World()
    denied = await world.gate.decide(world.request())
    assert isinstance(denied, Denied)
    assert denied.layer == "capability"
    assert denied.need == "ask:user [x]"
    assert "oxios caps grant agent:r1 'ask:user' x" in denied.remedy


@pytest.mark.parametrize("error", [ValueError("broken"), Invalid("bad", remedy="mend it"), AssertionError(), OSError()])
async def test_a_layer_that_fails_refuses(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a layer raises, the answer is no, it is recorded, and the log has it."""

    def fail(_case: Case) -> None:
        raise error

    world = World({"egress": fail})
    denied = await world.gate.decide(await world.ready())
    assert isinstance(denied, Denied)
    assert denied.layer == "egress"
    assert denied.remedy
    assert world.journal.kinds()[-1] == "call.denied"
    assert "layer_failed" in capfd.readouterr().err


async def test_a_broken_invariant_is_not_swallowed() -> None:
    """A KernelBug ends the process rather than becoming a refusal; what was reserved is given back."""

    def fail(_case: Case) -> None:
        raise KernelBug("impossible")

    world = World({"budget": _reserve, "approval": fail})
    request = await world.ready()
    with pytest.raises(KernelBug):
        await world.gate.decide(request)
    assert world.refunded == [7]


async def test_what_was_reserved_is_given_back_on_refusal_question_and_cancellation() -> None:
    """Only a permit keeps a reservation."""
    for act in (_no("approval"), _asks_once):
        world = World({"budget": _reserve, "approval": act})
        await world.gate.decide(await world.ready())
        assert world.refunded == [7]
    world = World({"budget": _reserve})
    request = await world.ready(uses=1)
    with world.journal.hold():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.gate.decide, request)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert world.refunded == [7]
    assert world.ledger.live() == ()


async def test_without_a_journal_nothing_is_permitted() -> None:
    """An unwritable journal refuses before any layer is asked, and recovers with the disk."""
    world = World()
    request = await world.ready()
    world.journal.broken = True
    denied = await world.gate.decide(request)
    assert isinstance(denied, Denied)
    assert denied.layer == "journal"
    assert world.seen == []
    world.journal.broken = False
    assert isinstance(await world.gate.decide(request), Permit)


def test_layers_are_complete_and_in_order_or_there_is_no_gate() -> None:
    """Leaving one out, doubling one or turning two round stops the boot."""
    world = World()
    layers: list[Layer] = [Step(name, []) for name in ORDER]
    for wrong in (layers[1:], [*layers, layers[0]], [layers[1], layers[0], *layers[2:]], layers[:-1]):
        with pytest.raises(KernelBug):
            Gate(world.journal, world.table, world.ledger, tuple(wrong), refund=print)


async def test_a_capability_revoked_while_later_layers_wait_permits_nothing() -> None:
    """The capabilities are looked at again after the last wait."""

    def revoke(_case: Case) -> None:
        world.table.drop(BOB)

    world = World({"approval": revoke})
    denied = await world.gate.decide(await world.ready())
    assert isinstance(denied, Denied)
    assert denied.layer == "capability"
    assert world.ledger.live() == ()


async def test_revoking_withdraws_the_permit_and_stops_the_call() -> None:
    """A permit not yet used cannot be; a call that runs is cancelled with the reason."""
    world = World()
    request = await world.ready()
    running, waiting = await world.gate.decide(request), await world.gate.decide(request)
    assert isinstance(running, Permit)
    assert isinstance(waiting, Permit)
    reasons: list[str] = []
    world.ledger.redeem(running, "ask", request.arguments, reasons.append)
    await world.table.revoke(world.cap.id, by=BOB, reason="changed my mind")
    assert reasons == ["changed my mind"]
    with pytest.raises(CapabilityRevoked):
        world.ledger.redeem(waiting, "ask", request.arguments, reasons.append)
    assert isinstance(await world.gate.decide(request), Denied)


async def test_use_counts_are_spent_by_permits_only() -> None:
    """A refused call costs no use; the second permit of a single use is refused."""
    refuse = True

    def maybe(_case: Case) -> Verdict:
        return Denied("budget", "no", "wait") if refuse else None

    world = World({"budget": maybe})
    request = await world.ready(uses=1)
    await world.gate.decide(request)
    refuse = False
    assert isinstance(await world.gate.decide(request), Permit)
    denied = await world.gate.decide(request)
    assert isinstance(denied, Denied)
    assert denied.layer == "capability"


async def test_two_calls_at_once_share_one_use() -> None:
    """Of two calls that found the last use, one is permitted, while the disk is slow too."""
    world = World()
    request = await world.ready(uses=1)
    answers: list[object] = []

    async def decide() -> None:
        answers.append(await world.gate.decide(request))

    with world.journal.hold() as let_go:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide)
            tasks.start_soon(decide)
            await anyio.wait_all_tasks_blocked()
            let_go()
    assert sorted(isinstance(answer, Permit) for answer in answers) == [False, True]
    assert len(world.ledger.live()) == 1


async def test_admit_asks_and_decides_again_with_the_answer() -> None:
    """The approval is handed to a whole new pass through the layers, and stands in the permit."""
    person = Person()
    world = World({"approval": _asks_once}, approvals=person)
    permit = await world.gate.admit(await world.ready())
    assert isinstance(permit, Permit)
    assert permit.approval == ANSWER
    assert world.seen.count("arguments") == 2
    assert person.asked == 1


async def test_what_changed_while_the_question_stood_counts() -> None:
    """A capability revoked meanwhile, or a policy that asks again, refuses the call."""
    person = Person()
    world = World({"approval": _asks_once}, approvals=person)
    person.meanwhile = lambda: world.table.drop(BOB)
    denied = await world.gate.admit(await world.ready())
    assert isinstance(denied, Denied)
    assert denied.layer == "capability"
    world = World({"approval": lambda _case: NeedsApproval(QUESTION)}, approvals=Person())
    denied = await world.gate.admit(await world.ready())
    assert isinstance(denied, Denied)
    assert denied.layer == "approval"
    assert world.journal.kinds()[-1] == "call.denied"


@pytest.mark.parametrize("answer", [Denied("approval", "the person said no", "ask why"), RuntimeError("gone")])
async def test_no_answer_is_no(answer: Denied | Exception) -> None:
    """A refusal, a failure to ask, and nobody to ask refuse the call and are recorded."""
    for approvals in (Person(answer), None):
        world = World({"approval": _asks_once}, approvals=approvals)
        denied = await world.gate.admit(await world.ready())
        assert isinstance(denied, Denied)
        assert denied.layer == "approval"
        assert world.journal.kinds()[-1] == "call.denied"
        assert world.ledger.live() == ()
