"""The cycle: what a message in a session leads to, phase by phase, until there is a reply.

Guarantees: which phase comes next is a function of the session's state alone, and every phase's
begin and end stand in the session's stream; so a turn that was interrupted, at whatever point,
goes on with `resume`. A phase that fails is tried again by it, alone. Of several generations the
best is replied with, its result and its verdict together.
What this does not do: judge who may do what. It is a client of the kernel, with the authority of the
session's owner and no more.

Source: RFC-0013.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from kernel.engine.routes import model_of_run
from kernel.errors import BudgetExhausted, Conflict, Invalid, JournalDown, NotFound, OxiosError, QueueFull, Unavailable
from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.persona import Persona, load_personas, pick
from kernel.ports.provider import Attachment
from kernel.runtime.attached import check_together, kept
from kernel.runtime.text import cut_bytes
from ouroboros import session as words
from ouroboros.assess import Assess, Clarify, Conversation, Task, numbered
from ouroboros.crystallize import Crystallize, shown
from ouroboros.evolve import Bounds, best, evolves
from ouroboros.execute import Kernel
from ouroboros.judge import Judge
from ouroboros.nodes import KernelModel, Node, speaks
from ouroboros.phases import Accepting, Assessing, Confirm, Decided, Evolving, Execute, Person, Reviewing, spent_of
from ouroboros.review import needs_review
from ouroboros.seed import GOAL_CHARS_MAX, SeedSpec
from ouroboros.session import OPEN, Session, Turn, TurnStatus
from ouroboros.sessionbook import catch_up, record
from ouroboros.verdict import Verdict

REPLY_BYTES_MAX: Final = 64 * 1024
"""Of a reply in the session's stream; the whole stands in its run's."""
NOT_CARRIED_OUT: Final = "Not carried out."
RESTORES: Final = "`oxios sessions delete --undo` brings a deleted one back"
CONTEXT_CHARS_MAX: Final = 6_000
RUNS_ON: Final = frozenset({"", "paused", "running"})
"""What a generation's status is until its run has ended."""
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What a message led to. `passed` is None where nothing was to be reviewed."""

    session: RunId
    turn: int
    status: TurnStatus
    response: str
    phase: str
    run: str = ""
    passed: bool | None = None
    verdict: Verdict | None = None
    generations: int = 0
    note: str = ""


def next_phase(turn: Turn, bounds: Bounds) -> str:
    """The phase a turn is in; empty where there is nothing left but the reply."""
    if turn.assessment is None:
        return "assess"
    if not isinstance(turn.assessment, Task) or turn.declined:
        return ""
    current = turn.current
    if current is None:
        return "crystallize" if turn.draft is None else "confirm"
    if current.status in RUNS_ON:
        return "execute"
    if current.status != "finished":
        return ""
    if not current.reviewed:
        return "review" if needs_review(current.seed) else ""
    return "evolve" if evolves(current.verdict, current.seed.generation, bounds) else ""


@dataclass(slots=True)
class Cycle:
    """Carries out the turns of one session, one at a time."""

    kernel: Kernel
    session: Session
    person: Person | None = field(default_factory=Accepting)
    """Who accepts drafts; with None a draft waits, on record, until somebody decides (`decide`)."""
    busy: bool = False
    _opened: bool = False
    _spoken: str = ""
    """The newest reply, whole."""

    async def run(
        self, message: str, context: str = "", *, key: str = "", attached: Sequence[Attachment] = ()
    ) -> TurnResult:
        """A message: the answer to questions that wait for one, else a new turn, carried out.

        Raises: as `take`; Conflict (a turn is under way).
        """
        await self.take(message, context, key=key, attached=attached)
        return await self._turn()

    async def take(
        self, message: str, context: str = "", *, key: str = "", attached: Sequence[Attachment] = (), queued: int = 0
    ) -> None:
        """Put a message on record, for `resume` to carry out; a turn that it does not answer is left.

        `key` is the sender's name for this message: the session knows that it has it (`Session.keys`).
        `attached` are files that the agent is shown with the goal. `queued` is the entry by which it waited.

        Raises: Invalid (empty, too long, too many files); NotFound (the session was deleted); JournalDown.
        """
        check_message(message)
        check_together(attached)
        await self._catch_up()
        turn = self.session.turn
        blobs = tuple(one.data for one in attached)
        given: dict[str, JsonValue] = {"key": key} if key else {}
        if queued:
            given["queued"] = queued
        if attached:
            given["attached"] = [asdict(one) for one in kept(attached)]
        if turn is not None and turn.status == "waiting" and turn.draft is None:
            answer = {"turn": turn.number, "as": "answer", "role": "user", "text": message}
            await self._record(words.MESSAGE, {**answer, **given}, blobs)
            return
        if turn is not None and turn.status in {*OPEN, "waiting"}:
            await self.stop(f"left at {turn.phase or 'its begin'} for a new message")
        number = self.session.next_number
        said: dict[str, JsonValue] = {"turn": number, "as": "goal", "role": "user", "text": message, **given}
        await self._record(words.MESSAGE, {**said, "context": context} if context else said, blobs)

    async def resume(self) -> TurnResult | None:
        """Go on with a turn that was interrupted or paused; None where there is none."""
        await self._catch_up()
        turn = self.session.turn
        return await self._turn() if turn is not None and turn.status in OPEN else None

    async def retry(self) -> TurnResult:
        """Try the phase again that a turn failed at. Raises: Conflict, where it failed at none; JournalDown."""
        await self._catch_up()
        turn = self.session.turn
        if turn is None or turn.status not in {*OPEN, "failed"} or not next_phase(turn, self._bounds()):
            raise Conflict("the newest turn stands at no phase that could be tried again", remedy="send a message")
        return await self._turn()

    async def decide(self, spec: SeedSpec | None) -> TurnResult:
        """Go on with the draft that waits, as it is given; with None it is not carried out.

        Raises: Conflict, where none waits; JournalDown.
        """
        await self._catch_up()
        turn = self.session.turn
        if turn is None or turn.status != "waiting" or turn.draft is None:
            raise Conflict("no draft waits for a decision", remedy="somebody may have decided already")
        return await self._turn(Decided(spec))

    async def stop(self, note: str) -> None:
        """End the turn as it is, with its run if that is live. Raises: JournalDown."""
        await self._cancel()  # First: what runs is to end now, not once all is read and written.
        await self._catch_up()
        turn = self.session.turn
        if turn is None or turn.status not in {*OPEN, "waiting"}:
            return
        payload: dict[str, JsonValue] = {}
        if turn.current is not None and turn.current.status in RUNS_ON:
            run = await self._cancel()
            if run is not None:
                payload = {"spent": spent_of(await self.kernel.runs.state(run)), "run": run}
        await self._reply("", "stopped", note, payload)

    async def _cancel(self) -> RunId | None:
        """End the newest turn's run, where it is live; the run, where there is one."""
        turn = self.session.turn
        if turn is None or turn.current is None or turn.current.status not in RUNS_ON:
            return None
        run = await self._run_of(turn.current.seed.id)
        if run is not None and self.kernel.runs.live(run):
            await self.kernel.handle(self.session.owner).call("runs.cancel", {"run": run})
        return run

    def result(self) -> TurnResult:
        """The newest turn as it stands, with its response as it was recorded."""
        turn = self.session.turns[-1]
        shown = turn.generations[turn.best] if turn.generations else None
        verdict = shown.verdict if shown else None
        return TurnResult(
            session=self.session.id,
            turn=turn.number,
            status=turn.status,
            response=self._spoken if self._spoken.startswith(turn.reply) else turn.reply,
            phase=turn.phase,
            run=shown.run if shown else "",
            passed=verdict.passed if verdict else None,
            verdict=verdict,
            generations=len(turn.generations),
            note=turn.note,
        )

    async def _turn(self, person: Person | None = None) -> TurnResult:
        if self.busy:
            raise Conflict("a turn of this session is under way", remedy="wait for it, steer it, or stop it")
        self.busy = True
        end = self.kernel.journal.subscribe(self._hear)
        try:
            await self._open_budget()
            return await self._phases(person or self.person)
        except (JournalDown, QueueFull):
            raise
        except OxiosError as error:
            status: TurnStatus = "paused" if isinstance(error, (Unavailable, BudgetExhausted)) else "failed"
            await self._reply(error.explain(), status, error.code)
            return self.result()
        finally:
            end()
            self.busy = False

    async def _phases(self, person: Person | None) -> TurnResult:
        turn = self.session.turns[-1]
        while phase := next_phase(turn, self._bounds()):
            await self.kernel.refresh()
            if phase == "confirm" and person is None:
                return await self._wait_for_a_decision(turn)
            await self._phase(self._node(phase, turn, person or Accepting()))
            if turn.status == "waiting" and isinstance(turn.assessment, Clarify):
                return self._asking(turn.assessment)
            if turn.current is not None and turn.current.status == "paused":
                await self._reply("", "paused", turn.current.note)
                return self.result()
        return await self._end(turn)

    async def _phase(self, node: Node[Any, Any]) -> None:
        """One phase, begun and ended in the stream. Raises: OxiosError, recorded too."""
        number = self.session.turns[-1].number
        about: dict[str, JsonValue] = {"turn": number, "phase": node.phase}
        await self._record(words.STARTED, about)
        started_s = self.kernel.clock.monotonic_s()
        try:
            inputs = await node.prep()
            result = await node.post(inputs, await node.exec(inputs))
        except (JournalDown, QueueFull):
            raise
        except OxiosError as error:
            failed = {**about, "ok": False, "code": error.code, "message": error.explain()}
            await self._record(words.FINISHED, failed)
            raise
        took_ms = round((self.kernel.clock.monotonic_s() - started_s) * 1000)
        await self._record(words.FINISHED, {**about, "ok": True, "ms": took_ms, "result": result})

    def _node(self, phase: str, turn: Turn, person: Person) -> Node[Any, Any]:
        now_us: Callable[[], int] = self.kernel.clock.now_us
        persona = self._persona()
        prompt = persona.system_prompt if persona else ""
        rounds_max = self.kernel.settings.cycle.clarify_rounds_max
        match phase:
            case "assess":
                return Assessing(
                    Assess(self.model(phase), lambda: self.session.ask(prompt), rounds_max), self.session, now_us
                )
            case "crystallize":
                return Crystallize(self.model(phase), lambda: self.session.ask(prompt))
            case "confirm":
                return Confirm(person, self.session, turn, now_us)
            case "execute":
                current, context = turn.generations[-1], self._context(turn)
                return Execute(self.kernel, self.session, current, persona, context, turn.attached)
            case "review":
                return Reviewing(self.kernel, turn.generations[-1], Judge(self.model(phase)))
            case _:
                return Evolving(turn.generations[-1], self._bounds(), now_us)

    def model(self, phase: str) -> KernelModel:
        """Who is asked in a phase: the model that the settings route it to, else the one the agent has."""
        settings = self.kernel.settings
        name = settings.routing.phases.get(phase) or self.model_of_agent()
        handle = self.kernel.handle(self.session.owner, run=self.session.id)
        return KernelModel(handle, name, speaks(settings, name))

    def model_of_agent(self) -> str:
        """The model that the session's next run asks."""
        persona = self._persona()
        named = self.session.model or (persona.model if persona else "")
        return model_of_run(named, self.session.persona, self.kernel.settings)

    def _persona(self) -> Persona | None:
        name = self.session.persona
        return pick(load_personas(self.kernel.settings.home), name) if name else None

    def _bounds(self) -> Bounds:
        cycle = self.kernel.settings.cycle
        return Bounds(cycle.generations_max, cycle.score_min)

    def _context(self, turn: Turn) -> str:
        """What the agent is shown around its goal, as data: what came with it, and earlier turns."""
        history = self.session.history()
        told = f"Earlier in this session, oldest first:\n{history}" if history else ""
        room = CONTEXT_CHARS_MAX - len(told) - 2
        given = turn.context if len(turn.context) <= room else f"{turn.context[: room - 20]}\n[cut here]"
        return "\n\n".join(part for part in (given, told) if part)

    async def _end(self, turn: Turn) -> TurnResult:
        """Compose the reply. Raises: JournalDown."""
        if isinstance(turn.assessment, Conversation):
            await self._reply(turn.assessment.reply, "done")
        elif turn.declined:
            await self._reply(NOT_CARRIED_OUT, "declined")
        else:
            await self._reply_of_best(turn)
        return self.result()

    async def _reply_of_best(self, turn: Turn) -> None:
        chosen = best([one.verdict for one in turn.generations])
        shown = turn.generations[chosen]
        state = await self.kernel.runs.state(RunId(shown.run))
        response = state.output + review_notes(shown.verdict)
        note = state.note
        if chosen != len(turn.generations) - 1:
            which = f"this is attempt {chosen + 1} of {len(turn.generations)}, the best"
            note = f"{which}; files are as the last one left them"
        status: TurnStatus = "done" if shown.status == "finished" else "failed"
        await self._reply(response.strip() or note, status, note, {"generation": chosen, "run": shown.run})

    async def _reply(self, text: str, status: TurnStatus, note: str = "", more: JsonObject | None = None) -> None:
        payload: dict[str, JsonValue] = {
            "turn": self.session.turns[-1].number,
            "as": "reply",
            "role": "assistant",
            "text": cut_bytes(text, REPLY_BYTES_MAX),
            "status": status,
            "note": note,
        }
        await self._record(words.MESSAGE, {**payload, **(more or {})})
        self._spoken = text

    async def _wait_for_a_decision(self, turn: Turn) -> TurnResult:
        """The draft is shown, and stands in the stream until somebody decides."""
        assert turn.draft is not None, "a draft waits where there is one"
        if turn.status != "waiting":
            asked = {"turn": turn.number, "as": "question", "role": "assistant", "text": shown(turn.draft)}
            await self._record(words.MESSAGE, asked)
        return TurnResult(self.session.id, turn.number, "waiting", shown(turn.draft), "confirm")

    async def _catch_up(self) -> None:
        """What others recorded in the session since. Raises: NotFound, where it was deleted."""
        if not self.busy:
            await catch_up(self.kernel.journal, self.session)
        if self.session.deleted:
            raise NotFound(f"there is no session {self.session.id!r}", remedy=RESTORES)

    def _asking(self, asked: Clarify) -> TurnResult:
        turn = self.session.turns[-1]
        return TurnResult(self.session.id, turn.number, "waiting", numbered(asked.questions), "clarify")

    async def _record(self, kind: str, payload: JsonObject, blobs: tuple[bytes, ...] = ()) -> None:
        await record(self.kernel.journal, self.session, kind, payload, blobs=blobs)

    def _hear(self, entries: tuple[Entry, ...]) -> None:
        """What models answered to the phases is written by the kernel; names and models may be changed by others."""
        for entry in entries:
            if entry.stream == self.session.id:
                self.session.apply_entry(entry)

    async def _run_of(self, seed: str) -> RunId | None:
        rows = await self.kernel.journal.rows("runs", {"seed": seed}, order="started_us", limit=1)
        return RunId(str(rows[0]["id"])) if rows else None

    async def _open_budget(self) -> None:
        if self._opened:
            return
        budget = self.session.budget
        arguments: dict[str, JsonValue] = {
            "tokens_max": budget.tokens_max,
            "micro_usd_max": budget.micro_usd_max,
        }
        await self.kernel.handle(self.session.owner, run=self.session.id).call("budget.open", arguments)
        self._opened = True


def review_notes(verdict: Verdict | None) -> str:
    """What follows the agent's words where criteria were not met; empty where all were."""
    if verdict is None or not verdict.gaps:
        return ""
    return "\n\nReview notes, not met:\n" + "\n".join(f"- {gap}" for gap in verdict.gaps)


def check_message(message: str) -> None:
    """Raises: Invalid, where it is empty or too long."""
    if not message.strip():
        raise Invalid("the message is empty", remedy="say what is wanted")
    if len(message) > GOAL_CHARS_MAX:
        raise Invalid(
            f"the message has {len(message)} characters, at most {GOAL_CHARS_MAX}",
            remedy="put what belongs to it into a file and give that as context",
        )
