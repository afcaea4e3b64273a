"""Asking a person, and remembering what was answered.

Guarantees: a question is durable before anyone is asked, and its answer before anyone acts on it.
Nobody listening, no answer in time, a listener that fails: each is a denial. An approval lets
exactly the calls through that waited for it, each once, bound to caller and arguments. Questions
that are the same and stand at the same time are asked once. Only a person answers.

An answer given after its question ended stands for PRE_APPROVAL_S: the next identical question of
an agent of that owner takes it up, once, in the resumed run or another. Questions that a crash left
standing are expired at the next boot; the run that is resumed makes its call again and asks again.

Does not protect against a person who allows what the question shows: it shows the resolved
target, not what a program does with it.

Source: RFC-0007.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from kernel.clock import Clock
from kernel.errors import AccessDenied, Conflict, CspaceFull, Invalid, LimitExceeded, NotFound, OxiosError
from kernel.gate import approval_record as record
from kernel.gate.approval_record import Row, Status
from kernel.gate.asker import Answer, Asker
from kernel.gate.budget import BudgetLedger
from kernel.gate.decision import Denied, Question
from kernel.gate.policy import Rules, policy_of, remembered_by
from kernel.gate.request import Request
from kernel.gate.standing import Standing
from kernel.ids import KERNEL, ApprovalId, Digest, Principal, RunId, agent, new_id
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM
from kernel.settings.tree import ApprovalMode
from kernel.syscalls.declare import AnySyscall, ApprovalPolicy

PRE_APPROVAL_S: Final = 24 * 3600
WITHDRAWN: Final = "the call was given up while the question stood"
NOBODY: Final = "nobody was there to answer"
SILENCE: Final = "nobody answered within"

_MICRO: Final = 1_000_000
_ENDED: Final[tuple[Status, ...]] = ("denied", "expired")


@dataclass(slots=True, eq=False)
class Pending:
    """One question that stands now. `answered` is set once `outcome` is, whatever it is."""

    id: ApprovalId
    request: Request
    question: Question
    expires_us: int
    answered: anyio.Event = field(default_factory=anyio.Event)
    outcome: Answer | None = None
    waiting: int = 0


@dataclass(slots=True)
class _Leave:
    """Who may pass by an answered approval: `uses` calls with these arguments."""

    principal: Principal
    arguments: Digest
    uses: int


@dataclass(slots=True)
class _Run:
    goal: str
    mode: ApprovalMode | None
    keys: set[str] | None = None
    """What was answered `run`; None until it is read from the journal."""


class Approvals:
    """Built once, at boot; `asker` says who listens now, `rules` what the settings say now."""

    def __init__(
        self,
        journal: Appender,
        clock: Clock,
        *,
        asker: Callable[[], Asker],
        standing: Standing,
        budgets: BudgetLedger,
        rules: Callable[[], Rules] = Rules,
    ) -> None:
        self.standing = standing
        self._journal = journal
        self._clock = clock
        self._asker = asker
        self._budgets = budgets
        self._rules = rules
        self._pending: dict[str, Pending] = {}
        self._leaves: dict[ApprovalId, _Leave] = {}
        self._runs: dict[RunId, _Run] = {}

    def policy_of(self, syscall: AnySyscall, perilous: str) -> ApprovalPolicy:
        """The policy in force for one call; `perilous` says why it must always be asked, or is empty."""
        return policy_of(syscall.approval, syscall.name, self._rules(), perilous)

    def open_run(self, run: RunId, *, goal: str = "", mode: ApprovalMode | None = None) -> None:
        """Tell of a run: its goal for the question, and the mode its owner chose for it alone."""
        self._runs[run] = _Run(goal, mode)

    def close_run(self, run: RunId) -> None:
        """The run ended: forget what was cached for it, and void approvals that no call used."""
        self._runs.pop(run, None)
        for approval in [each for each, leave in self._leaves.items() if leave.principal == agent(run)]:
            del self._leaves[approval]

    def rules_for(self, run: RunId | None) -> tuple[Rules, str]:
        """The rules in force and the run's goal: the settings', with the run's own mode where it has one."""
        found = self._runs.get(run) if run else None
        if found is None:
            return self._rules(), ""
        return replace(self._rules(), mode=found.mode or self._rules().mode), found.goal

    async def remembered(self, run: RunId) -> set[str]:
        """The keys that were answered `run` in this run, before a crash too; read from the journal once."""
        found = self._runs.get(run) or _Run("", None)
        if found.keys is None:
            answers = [*await self._rows(run=run, status="granted"), *await self._rows(run=run, status="allowed")]
            found.keys = {key for row in answers if row.choice == "run" for key in remembered_by(row.question.keys)}
        return found.keys

    # Asking

    async def resolve(self, request: Request, question: Question) -> ApprovalId | Denied:
        """Ask, and wait for the answer at most `wait_s`. The run's budget does not pay for the wait.

        Raises: JournalDown.
        """
        fold = f"{request.principal} {record.match_of(request, question)}"
        pending = self._pending.get(fold)
        if pending is not None and pending.outcome is None:
            return await self._join(pending, request)
        return await self._resolve_new(request, question, fold)

    def redeem(self, approval: str, request: Request) -> bool:
        """True once for each call that waited: the approval is this caller's, for these arguments."""
        leave = self._leaves.get(ApprovalId(approval))
        if leave is None or leave.principal != request.principal or leave.arguments != request.arguments:
            return False
        leave.uses -= 1
        if leave.uses == 0:
            del self._leaves[ApprovalId(approval)]
        return True

    async def _join(self, pending: Pending, request: Request) -> ApprovalId | Denied:
        pending.waiting += 1
        try:
            with self._budgets.waiting(request.account):
                await pending.answered.wait()
        except BaseException:
            pending.waiting -= 1  # whoever gave up waiting may not pass by the answer
            raise
        return self._outcome(pending)

    async def _resolve_new(self, request: Request, question: Question, fold: str) -> ApprovalId | Denied:
        wait_s = self._rules().wait_s
        now_us = self._clock.now_us()
        pending = Pending(
            ApprovalId(new_id("p", now_us)), request, question, now_us + round(wait_s * _MICRO), waiting=1
        )
        self._pending[fold] = pending
        try:
            await self._journal.append(record.asked(pending.id, request, question, pending.expires_us))
            if not await self._take_up(pending):
                if self._asker().listening:
                    with self._budgets.waiting(request.account):
                        await self._ask(pending, wait_s)
                else:
                    await self._settle(pending, Answer("deny", NOBODY), KERNEL)
            return self._outcome(pending)
        finally:
            if self._pending.get(fold) is pending:
                del self._pending[fold]
            self._abandon(pending)

    async def _ask(self, pending: Pending, wait_s: float) -> None:
        """Whoever answers first: the listener, another surface through `answer`, or the clock."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, pending, wait_s)
            group.start_soon(self._expire, pending, wait_s)
            await pending.answered.wait()
            group.cancel_scope.cancel()

    async def _listen(self, pending: Pending, wait_s: float) -> None:
        owner = pending.request.owner
        try:
            answer = await self._asker().approve(pending.id, pending.request.run, pending.question, wait_s)
        except OxiosError as error:
            answer = Answer("deny", f"the question could not be shown: {error.message}")
        try:
            await self._settle(pending, answer, owner)
        except (AccessDenied, CspaceFull, Invalid, LimitExceeded) as error:
            # Allowed, but it cannot stand for always: let it through this time, and say so.
            await self._settle(pending, Answer("once", f"for this once only: {error.explain()}"), owner)

    async def _expire(self, pending: Pending, wait_s: float) -> None:
        await self._clock.sleep(wait_s)
        await self._settle(pending, Answer("deny", f"{SILENCE} {wait_s:g} s"), KERNEL, "expired")

    async def _take_up(self, pending: Pending) -> bool:
        """Use an answer that was given after an earlier, identical question of this owner ended."""
        match = record.match_of(pending.request, pending.question)
        oldest_us = self._clock.now_us() - PRE_APPROVAL_S * _MICRO
        for row in await self._rows(owner=pending.request.owner, status="allowed"):
            if row.match == match and row.answered_us >= oldest_us:
                answer = Answer("once", f"allowed in advance by {row.answered_by} ({row.id})")
                await self._settle(pending, answer, Principal(row.answered_by), by_approval=row.id)
                return True
        return False

    # Answering

    async def answer(self, approval: ApprovalId, answer: Answer, by: Principal) -> Row:
        """A person's answer, from any surface, while the question stands or after it ended.

        Raises: AccessDenied (`by` is no person, or may not allow it for always), NotFound, Conflict
        (it was answered), JournalDown.
        """
        if not by.startswith("user:"):
            raise AccessDenied(f"{by} may not answer approvals", layer="approval", remedy="a person answers them")
        for pending in tuple(self._pending.values()):
            if pending.id == approval and await self._settle(pending, answer, by):
                return await self.show(approval)
        row = await self.show(approval)
        if row.status not in _ENDED:
            raise Conflict(f"approval {approval} is {row.status} already", remedy="see `oxios approvals list --all`")
        await self._answer_late(row, answer, by)
        return await self.show(approval)

    async def show(self, approval: str) -> Row:
        """Raises: NotFound."""
        rows = await self._rows(id=approval)
        if not rows:
            raise NotFound(f"there is no approval {approval!r}", remedy="see `oxios approvals list --all`")
        return rows[0]

    async def listed(self, *, pending_only: bool = False, owner: str = "", limit: int = 200) -> list[Row]:
        """Newest first; with `owner`, theirs alone."""
        where = ({"status": "pending"} if pending_only else {}) | ({"owner": owner} if owner else {})
        rows = await self._journal.rows(record.TABLE, where, order="asked_us", descending=True, limit=limit)
        return [record.row_of(row) for row in rows]

    async def recover(self) -> int:
        """Expire what a crash left standing; how many. For boot, before any run resumes."""
        standing = {pending.id for pending in self._pending.values()}
        left = [row for row in await self._rows(status="pending") if row.id not in standing]
        reason = "Oxios stopped while the question stood; a resumed run asks again"
        for row in left:
            stream = row.run or SYSTEM_STREAM
            draft = record.answered(row.id, stream, status="expired", choice="deny", by=KERNEL, reason=reason)
            await self._journal.append(draft)
        return len(left)

    async def _settle(
        self, pending: Pending, answer: Answer, by: Principal, status: Status | None = None, by_approval: str = ""
    ) -> bool:
        """Record the first answer and wake whoever waits; False where this is a later one."""
        if pending.outcome is not None:
            return False
        pending.outcome = answer  # before any wait: the first answer is the answer
        request, caps = pending.request, tuple[str, ...]()
        try:
            if answer.choice == "always":
                keys = remembered_by(pending.question.keys)
                caps = await self.standing.grant(request.owner, keys, by=by, origin=pending.id)
            allowed: Status = "denied" if answer.choice == "deny" else "granted"
            await self._journal.append(
                record.answered(
                    pending.id,
                    request.stream,
                    status=status or allowed,
                    choice=answer.choice,
                    by=by,
                    reason=answer.reason,
                    caps=caps,
                    by_approval=by_approval,
                )
            )
        except BaseException:
            pending.outcome = None
            raise
        if answer.choice != "deny":
            self._leaves[pending.id] = _Leave(request.principal, request.arguments, pending.waiting)
        known = self._runs.get(request.run) if request.run else None
        if known is not None:
            known.keys = None  # to be read again, with this answer in it
        pending.answered.set()
        return True

    async def _answer_late(self, row: Row, answer: Answer, by: Principal) -> None:
        caps = tuple[str, ...]()
        if answer.choice == "always":
            caps = await self.standing.grant(row.owner, remembered_by(row.question.keys), by=by, origin=row.id)
        # What stands for always lets the next call through by itself, and forgetting it must end that.
        standing = answer.choice == "always" and row.question.keys
        status: Status = "denied" if answer.choice == "deny" else "granted" if standing else "allowed"
        stream = row.run or SYSTEM_STREAM
        await self._journal.append(
            record.answered(row.id, stream, status=status, choice=answer.choice, by=by, reason=answer.reason, caps=caps)
        )
        known = self._runs.get(RunId(row.run))
        if known is not None:
            known.keys = None  # to be read again, with this answer in it

    def _outcome(self, pending: Pending) -> ApprovalId | Denied:
        answer = pending.outcome
        if answer is not None and answer.choice != "deny":
            return pending.id
        reason = answer.reason if answer is not None else WITHDRAWN
        question = pending.question
        always = "" if question.keys else f" (always asked: {question.why.partition(';')[0]})"
        return Denied(
            "approval", f"{question.tool} was not approved: {reason or 'denied'}{always}", self._remedy(pending)
        )

    def _remedy(self, pending: Pending) -> str:
        """What would let the call through, of what really would."""
        reason = pending.outcome.reason if pending.outcome else ""
        if reason != NOBODY and not reason.startswith(SILENCE):
            return "do it another way, or ask with ask_user what is wanted"
        later = f"allow it with `oxios approvals allow {pending.id}` and let the call be made again"
        if not pending.question.keys:
            return f"run it in a terminal, or {later}"
        rules, _ = self.rules_for(pending.request.run)
        listed = f"add {pending.question.keys[0]!r} to approval.allow, or " if rules.mode == "allow-list" else ""
        return f"run it in a terminal or with --approve auto, or {listed}{later}"

    def _abandon(self, pending: Pending) -> None:
        """The call was cancelled, or the journal failed: nobody may wait for it any longer."""
        if pending.answered.is_set():
            return
        if pending.outcome is None:
            pending.outcome = Answer("deny", WITHDRAWN)
            request = pending.request
            self._journal.append(
                record.answered(
                    pending.id, request.stream, status="expired", choice="deny", by=KERNEL, reason=WITHDRAWN
                )
            )
        pending.answered.set()

    async def _rows(self, **where: str) -> list[Row]:
        found = await self._journal.rows(record.TABLE, where, order="asked_us")
        return [record.row_of(row) for row in found]
