"""Which models may answer, and which of them is asked now.

Guarantees: `candidates` names each model once, the wanted one first; `decide` is a pure function of
what it is given, never chooses a model and key that a gate holds back, prefers the order of the
candidates and then of their keys, and says when the first gate opens where all are shut.

Source: RFC-0011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from kernel.settings.tree import RoutingSettings, Settings

CANDIDATES_MAX: Final = 16

Phase: TypeAlias = Literal["turn", "assess", "crystallize", "review", "summary", "other"]
"""`other` has no route of its own."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One key of one model. Open where `free_at_s` is not after now."""

    key: str
    free_at_s: float
    why: str = ""
    passes: bool = True
    """False where waiting alone will not open it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model and its keys; a model without any key has no gate."""

    model: str
    gates: tuple[Gate, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    model: str
    key: str


@dataclass(frozen=True, slots=True)
class Shut:
    """Every gate is shut. `free_at_s` is when the first opens by itself; None where none does."""

    free_at_s: float | None
    first: Chosen | None = None


def model_of_run(named: str, persona: str, settings: Settings) -> str:
    """The model that a run asks: the one it names, else its persona's, else that of `execute`, else the default."""
    routing = settings.routing
    routed = routing.personas.get(persona, "") or routing.phases.get("execute", "")
    return named or routed or settings.model.default


def candidates(
    model: str, phase: Phase, routing: RoutingSettings, persona: str = "", fallbacks: Sequence[str] = ()
) -> tuple[str, ...]:
    """The models in the order they are asked: the phase's, the run's, its own fallbacks, everybody's.

    `persona` counts where `model` is empty.
    """
    wanted = model or routing.personas.get(persona, "")
    phased = routing.phases.get(phase, "")
    ordered = dict.fromkeys(one for one in (phased, wanted, *fallbacks, *routing.fallbacks) if one)
    return tuple(ordered)[:CANDIDATES_MAX]


def decide(among: Sequence[Candidate], now_s: float) -> Chosen | Shut:
    """The first open gate."""
    first: tuple[float, Chosen] | None = None
    for one in among:
        for gate in one.gates:
            if gate.free_at_s <= now_s:
                return Chosen(one.model, gate.key)
            if gate.passes and (first is None or gate.free_at_s < first[0]):
                first = (gate.free_at_s, Chosen(one.model, gate.key))
    return Shut(None) if first is None else Shut(*first)
