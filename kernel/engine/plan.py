"""The attempts of one model request: what is tried next, and what its outcome means for that.

Guarantees: `next` never gives a model and key that are gated; a model gets at most `ATTEMPTS_MAX`
attempts that are its own fault, a key of it at most as many; nothing is tried after a visible token;
every plan ends after finitely many steps (`STEPS_MAX` at the very most), and what ended it is said.
It sends nothing and sleeps nowhere: times are arguments, in seconds of one monotonic clock.

    plan = engine.plan("openai/gpt-5")
    while True:
        match plan.next(now_s()):
            case Try() as step: …            # a permit, a reservation, then the request
                plan.succeeded(step) | plan.failed(step, error, now_s(), visible=shown)
            case Wait(seconds): …            # then ask again
            case Compact(): …                # plan.compacted() | plan.not_compacted()
            case GiveUp() as end: raise end.error()

Source: RFC-0011.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from kernel.engine.catalog import ModelFacts
from kernel.engine.failures import RULES, Failure, FailureClass, classify
from kernel.engine.health import Health
from kernel.engine.notes import Notes
from kernel.engine.retry import ATTEMPTS_MAX, Backoff
from kernel.engine.routes import Candidate, Chosen, Gate, Shut, decide
from kernel.engine.sources import Found, Key
from kernel.errors import KernelBug, NotFound, OxiosError, ProviderDown
from kernel.ports.provider import KeyRefused, Price, Unreachable

STEPS_MAX: Final = 256
COMPACTIONS_MAX: Final = 2
_OVER: Final = frozenset({FailureClass.CANCELLED, FailureClass.KERNEL, FailureClass.CONTENT})
_AT_FAULT: Final = frozenset(
    {FailureClass.REQUEST, FailureClass.CONTENT, FailureClass.OVERFLOW, FailureClass.MODEL_UNKNOWN}
)
"""Going on with the run later would meet the same refusal."""


@dataclass(frozen=True, slots=True)
class Try:
    """Ask `name` of `provider` with `key`, within `deadline_s`. `price` is to reserve and to settle by."""

    model: str
    provider: str
    name: str
    key: Key
    deadline_s: float
    facts: ModelFacts
    number: int
    """Of this plan, from 1."""
    fallback_from: str = ""
    """Set where the model is another one than before: for the journal's model.fallback."""
    why: str = ""

    @property
    def price(self) -> Price | None:
        return self.facts.price


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Compact:
    """The conversation is too long for `model`: shorten it, then say `compacted` or `not_compacted`."""

    model: str
    context_tokens: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No attempt is left. `resumable` is True where the run may go on later as it is."""

    reason: str
    remedy: str
    resumable: bool
    retry_after_s: float | None = None
    cause: BaseException | None = None
    code: FailureClass = FailureClass.UNKNOWN

    def error(self) -> BaseException:
        """What to raise: the only failure itself, or one that says what all of them were."""
        if self.cause is not None and (not self.resumable or self.code in _OVER):
            return self.cause
        return ProviderDown(self.reason, remedy=self.remedy, retry_after_s=self.retry_after_s)


_ANSWERED: Final = GiveUp("the model has answered", "", resumable=False)
Step: TypeAlias = Try | Wait | Compact | GiveUp


class Keys(Protocol):
    """Finds a provider's keys: `kernel.engine.keys.KeyRing`."""

    def found(self, provider: str) -> Found:
        """Raises: NotFound, Invalid."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for one model's attempts together, and for waiting until any model can answer."""

    deadline_s: float
    wait_s: float


@dataclass(slots=True)
class _Again:
    """The same model and key, not before `at_s`."""

    model: str
    key: Key
    at_s: float
    why: str


@dataclass(slots=True)
class Plan:
    """One request's attempts. Not shared; `models` is what `routes.candidates` gave."""

    models: Sequence[str]
    keys: Keys
    health: Health
    facts: Callable[[str], ModelFacts]
    bounds: Bounds
    backoff: Backoff
    tried: int = 0
    _left: list[str] = field(default_factory=list[str])
    _spent: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _tries: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    _strikes: dict[str, int] = field(default_factory=dict[str, int])
    _ends_at_s: dict[str, float] = field(default_factory=dict[str, float])
    _notes: Notes = field(default_factory=Notes)
    _again: _Again | None = None
    _open: Try | None = None
    _asked: str = ""
    _wait_ends_s: float | None = None
    _compacting: str = ""
    _compactions: int = 0
    _steps: int = 0
    _end: GiveUp | None = None
    _failures: dict[str, Failure] = field(default_factory=dict[str, Failure])
    """The newest of each model."""

    def __post_init__(self) -> None:
        self._left = list(self.models)
        self._asked = self._left[0] if self._left else ""

    def next(self, now_s: float) -> Step:
        """What to do now. Raises: KernelBug, where the last attempt was not reported."""
        if self._open is not None:
            raise KernelBug("a plan was asked for its next step before its last attempt was reported")
        self._steps += 1
        if self._end is None and self._steps > STEPS_MAX:
            self._end = self._give_up(now_s)
        if self._end is not None:
            return self._end
        if self._compacting:
            return Compact(self._compacting, self.facts(self._compacting).context_tokens)
        if self._again is not None:
            again, self._again = self._again, None
            if now_s < again.at_s:
                self._again = again
                return Wait(again.at_s - now_s, again.why)
            if self.health.gate(again.model, again.key, now_s).free_at_s <= now_s:
                return self._try(again.model, again.key, now_s)
        return self._choose(now_s)

    def succeeded(self, step: Try) -> None:
        """The model answered; the plan is over."""
        self._report(step)
        self.health.succeeded(step.model, step.key)
        self._end = _ANSWERED

    def failed(self, step: Try, error: BaseException, now_s: float, *, visible: bool = False) -> Failure:
        """What the failure was; `visible` says that something of the reply was already shown."""
        self._report(step)
        failure = self._failures[step.model] = classify(error)
        self._notes.say(step.model, _said(failure), step.key.source)
        self.health.failed(step.model, step.key, failure, now_s)
        if visible or not failure.rule.other_model:
            self.health.cool(step.key, failure, now_s)
            self._end = self._over(failure, visible=visible)
        elif failure.kind is FailureClass.OVERFLOW and self._compactions < COMPACTIONS_MAX:
            self._compacting = step.model
        elif failure.kind is FailureClass.OVERFLOW:
            self._leave_overflown(step.model)
        else:
            self._after(step, failure, now_s)
        return failure

    def compacted(self) -> None:
        """The conversation is shorter now; the same model is asked again."""
        self._compacting = ""
        self._compactions += 1

    def not_compacted(self) -> None:
        """It cannot be shortened: only a model that takes more may answer."""
        model, self._compacting = self._compacting, ""
        self._leave_overflown(model)

    def close(self) -> None:
        """Nobody will report any more: an attempt that is still open counts as abandoned."""
        if self._open is not None:
            self.health.abandoned(self._open.model, self._open.key)
            self._open = None
            self._end = GiveUp("the request was abandoned", "", resumable=True, code=FailureClass.CANCELLED)

    def _report(self, step: Try) -> None:
        if self._open is not step:
            raise KernelBug("an attempt was reported that the plan did not give, or twice")
        self._open = None

    def _after(self, step: Try, failure: Failure, now_s: float) -> None:
        """Another key, the same again after a wait, or another model: in this order."""
        at = (step.model, step.key.id)
        rule = failure.rule
        if rule.model_at_fault:
            self._strikes[step.model] = self._strikes.get(step.model, 0) + 1
            if not rule.again or self._strikes[step.model] >= ATTEMPTS_MAX:
                self._left.remove(step.model)
                self.health.cool(step.key, failure, now_s)
                return
        if not rule.again or self._tries[at] >= ATTEMPTS_MAX:
            self._spent.add(at)
        elif not (rule.other_key and self._other_key(step, now_s)):
            left_s = self._ends_at_s[step.model] - now_s
            wait_s = self.backoff.wait_s(self._tries[at], failure.retry_after_s, left_s)
            if wait_s is not None:
                self._again = _Again(step.model, step.key, now_s + wait_s, _said(failure))
                if rule.key_cools_s:  # Others leave the key alone for as long as this plan does.
                    self.health.cool(step.key, failure, now_s, wait_s)
                return
            if not rule.key_cools_s and not failure.retry_after_s:
                self._left.remove(step.model)
                return
        self.health.cool(step.key, failure, now_s)

    def _other_key(self, step: Try, now_s: float) -> bool:
        gates = self._gates(step.model, self._keys(step.model), now_s)
        return any(gate.key != step.key.id and gate.free_at_s <= now_s for gate in gates.gates)

    def _choose(self, now_s: float) -> Step:
        self._left = [model for model in self._left if self._ends_at_s.get(model, now_s + 1) > now_s]
        keys = {model: self._keys(model) for model in self._left}
        among = [self._gates(model, keys[model], now_s) for model in self._left]
        found = decide(among, now_s)
        for one in among:
            if isinstance(found, Chosen) and one.model == found.model:
                key = next(key for key in keys[found.model] if key.id == found.key)
                return self._try(found.model, key, now_s)
            if one.gates and not self._notes.of(one.model):
                self._notes.say(one.model, ", ".join(gate.why for gate in one.gates))
        assert isinstance(found, Shut), "what was chosen is among the candidates"
        if found.free_at_s is not None:
            ends_s = self._wait_ends_s if self._wait_ends_s is not None else now_s + self.bounds.wait_s
            if found.free_at_s <= ends_s:
                self._wait_ends_s = ends_s
                self._ends_at_s.clear()
                return Wait(found.free_at_s - now_s, self._notes.text(self.models))
        self._end = self._give_up(now_s)
        return self._end

    def _try(self, model: str, key: Key, now_s: float) -> Try:
        ends_at_s = self._ends_at_s.setdefault(model, now_s + self.bounds.deadline_s)
        self.health.begin(model, key, now_s)
        self.tried += 1
        at = (model, key.id)
        self._tries[at] = self._tries.get(at, 0) + 1
        provider, _, name = model.partition("/")
        before, self._asked = self._asked, model
        moved = before if before != model else ""
        self._open = Try(
            model,
            provider,
            name,
            key,
            ends_at_s - now_s,
            self.facts(model),
            self.tried,
            moved,
            self._notes.of(before) if moved else "",
        )
        return self._open

    def _gates(self, model: str, keys: Sequence[Key], now_s: float) -> Candidate:
        """Those of the model's keys that this plan may still use."""
        gates = [self.health.gate(model, key, now_s) for key in keys if self._usable(model, key)]
        return Candidate(model, tuple(gates))

    def _usable(self, model: str, key: Key) -> bool:
        return (model, key.id) not in self._spent

    def _keys(self, model: str) -> tuple[Key, ...]:
        provider, _, name = model.partition("/")
        try:
            if not name:
                raise NotFound(f"{model!r} names no model", remedy="write PROVIDER/MODEL")
            found = self.keys.found(provider)
        except OxiosError as error:  # No such provider, or a damaged key file: the next model may do.
            kind = FailureClass.MODEL_UNKNOWN if isinstance(error, NotFound) else FailureClass.AUTH
            self._lost(model, Failure(kind, error), error.explain())
            return ()
        if not found.keys:
            names = ", ".join(found.missing)
            error = KeyRefused(f"{model} has no key", remedy=f"put it into the environment variable {names}")
            self._lost(model, Failure(FailureClass.AUTH, error), error.explain())
        return found.keys

    def _lost(self, model: str, failure: Failure, note: str) -> None:
        self._notes.say(model, note)
        self._failures.setdefault(model, failure)

    def _leave_overflown(self, model: str) -> None:
        """Only models known to take more than this one are still worth asking."""
        limit = self.facts(model).context_tokens
        self._left = [one for one in self._left if one != model and self.facts(one).context_tokens > limit]

    def _over(self, failure: Failure, *, visible: bool) -> GiveUp:
        error = failure.error
        reason = error.message if isinstance(error, OxiosError) else f"{type(error).__name__}: {error}"
        remedy = error.remedy if isinstance(error, OxiosError) else ""
        if visible and failure.kind not in _OVER:
            reason = f"{reason}; a part of the reply was shown already, so nothing is asked again on its own"
            remedy = "resume the run to ask again"
            return GiveUp(reason, remedy, failure.kind not in _AT_FAULT, failure.retry_after_s, error, failure.kind)
        return GiveUp(reason, remedy, resumable=False, cause=error, code=failure.kind)

    def _give_up(self, now_s: float) -> GiveUp:
        waits = [gate.free_at_s for model in self.models for gate in self._all_gates(model, now_s) if gate.passes]
        failure = self._telling()
        kind = failure.kind if failure is not None else FailureClass.UNKNOWN
        cause = failure.error if failure is not None else None
        if not self.models:
            cause = NotFound("no model is named", remedy="set model.default, or name one: PROVIDER/MODEL")
            return GiveUp(cause.message, cause.remedy, resumable=False, cause=cause)
        resumable = kind not in _AT_FAULT
        reason = f"no model can answer now: {self._notes.text(self.models)}"
        after_s = max(0.0, min(waits) - now_s) if waits else None
        remedy = "resume the run to go on" + (f" (not before {after_s:.0f} s have passed)" if after_s else "")
        person = isinstance(cause, Unreachable) or not RULES[kind].passes  # Waiting alone will hardly mend it.
        if person and isinstance(cause, OxiosError) and cause.remedy not in reason:
            remedy = f"{cause.remedy}; then {remedy}"
        return GiveUp(reason, remedy, resumable, after_s, cause, kind)

    def _telling(self) -> Failure | None:
        """The failure that decides whether the run may go on later: the first that may pass."""
        failures = [self._failures[model] for model in self.models if model in self._failures]
        return next((one for one in failures if one.kind not in _AT_FAULT), failures[0] if failures else None)

    def _all_gates(self, model: str, now_s: float) -> Sequence[Gate]:
        try:
            keys = self.keys.found(model.partition("/")[0]).keys
        except OxiosError:
            return ()
        return [gate for key in keys if (gate := self.health.gate(model, key, now_s)).free_at_s > now_s]


def _said(failure: Failure) -> str:
    error = failure.error
    text = error.message if isinstance(error, OxiosError) else f"{type(error).__name__}: {error}"
    return f"{failure.kind}: {text}"
