"""Assess: is a message conversation, too vague to begin, or a task; and how large a task?

Guarantees: nothing goes on whose ambiguity is over AMBIGUITY_MAX while rounds of questions are left;
at most QUESTIONS_MAX questions are asked at once. The number is computed here from three clarities
that the model gives. Where the model's JSON cannot be read twice, the message is taken word for
word as a trivial task, and the record says that it was a fallback.
With the embedded planner no language model judges: a message in which it finds something to do is
a trivial task, and to any other its own report is the reply. Nothing is guessed.

Source: RFC-0013.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field

from kernel.errors import Invalid
from kernel.jsontypes import JsonObject, JsonValue
from ouroboros.nodes import Model, Question, ask_json, prompt, quoted, read_as

Scope: TypeAlias = Literal["trivial", "substantial"]
QuestionKind: TypeAlias = Literal["free_text", "single_choice", "multi_choice", "yes_no"]

AMBIGUITY_MAX: Final = 0.2
QUESTIONS_MAX: Final = 3
CHOICES_MAX: Final = 8
HISTORY_CHARS_MAX: Final = 8_000
CONTEXT_CHARS_MAX: Final = 24_000
_WEIGHTS: Final = {"goal": 0.4, "constraints": 0.3, "success": 0.3}
_CHOICE_KINDS: Final = frozenset({"single_choice", "multi_choice"})


@dataclass(frozen=True, slots=True)
class Clarification:
    """One question to the person."""

    text: str
    kind: QuestionKind = "free_text"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    reply: str


@dataclass(frozen=True, slots=True)
class Clarify:
    questions: tuple[Clarification, ...]
    ambiguity: float


@dataclass(frozen=True, slots=True)
class Task:
    scope: Scope
    ambiguity: float = 0.0
    fallback: str = ""
    """Why the model's assessment could not be used, where that is so."""


Assessment: TypeAlias = Conversation | Clarify | Task


@dataclass(frozen=True, slots=True)
class Round:
    """Questions that were asked, and what the person said to all of them."""

    questions: tuple[Clarification, ...]
    answer: str

    def asked(self) -> str:
        """The questions in one line."""
        return "; ".join(" ".join(one.text.split()) for one in self.questions)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is assessed and drafted from: a message with what was said before and around it."""

    message: str
    history: str = ""
    context: str = ""
    rounds: tuple[Round, ...] = ()
    persona_prompt: str = ""
    attached: tuple[str, ...] = ()
    """Names of files that came with it: the agent that carries it out is shown them, the phases are not."""

    def text(self) -> str:
        """As a model is given it."""
        parts = (
            quoted("The conversation so far, oldest first", self.history, HISTORY_CHARS_MAX),
            quoted("What came with the message", self.context, CONTEXT_CHARS_MAX),
            quoted("Files attached to the message, which only the agent at work sees", "\n".join(self.attached), 4_000),
            f"The message:\n{self.message}",
            "\n\n".join(_round_text(number, one) for number, one in enumerate(self.rounds, 1)),
        )
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Assess:
    """The node."""

    model: Model
    read: Callable[[], Ask]
    rounds_max: int
    phase: str = "assess"

    async def prep(self) -> Ask:
        return self.read()

    async def exec(self, inputs: Ask) -> Assessment:
        return await assess(inputs, self.model, rounds_left=self.rounds_max - len(inputs.rounds))

    async def post(self, inputs: Ask, outcome: Assessment) -> JsonObject:  # noqa: ARG002 -- the node's form
        return assessment_json(outcome)


async def assess(ask: Ask, model: Model, *, rounds_left: int) -> Assessment:
    """A message with files is no conversation: nobody but an agent sees them.

    Raises: OxiosError, where the model cannot be asked.
    """
    found = await _assess(ask, model, rounds_left)
    return Task("trivial") if ask.attached and isinstance(found, Conversation) else found


async def _assess(ask: Ask, model: Model, rounds_left: int) -> Assessment:
    if not model.speaks:
        return await _by_instructions(ask, model)
    system = prompt("assess")
    if ask.persona_prompt:
        system += f"\n\n# Voice\nA `reply` is written in this persona's voice:\n{ask.persona_prompt}"
    question = Question("assess", system, (("user", ask.text()),), SCHEMA)
    try:
        return await ask_json(model, question, lambda value: decide(read_as(_Said, value), rounds_left))
    except Invalid as fault:
        return Task("trivial", fallback=fault.message)


async def _by_instructions(ask: Ask, model: Model) -> Assessment:
    """The planner says what it would do: something, or why nothing."""
    answer = await model.reply(Question("assess", "", (("user", ask.message),), describe_tools=True))
    return Task("trivial") if answer.calls else Conversation(answer.text)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


_Clarity = Annotated[float, Field(ge=0, le=1)]


class _Clearness(_Part):
    goal: _Clarity
    constraints: _Clarity
    success: _Clarity


class _SaidQuestion(_Part):
    text: Annotated[str, Field(min_length=1, max_length=500)]
    kind: QuestionKind = "free_text"
    choices: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()


class _Said(_Part):
    """What the model answers."""

    kind: Literal["conversation", "clarify", "task"]
    reply: str = ""
    scope: Scope = "substantial"
    clarity: _Clearness | None = None
    questions: tuple[_SaidQuestion, ...] = ()


SCHEMA: Final[JsonObject] = {
    "type": "object",
    "required": ["kind"],
    "properties": {
        "kind": {"enum": ["conversation", "clarify", "task"]},
        "reply": {"type": "string"},
        "scope": {"enum": ["trivial", "substantial"]},
        "clarity": {
            "type": "object",
            "required": ["goal", "constraints", "success"],
            "properties": {name: {"type": "number", "minimum": 0, "maximum": 1} for name in _WEIGHTS},
        },
        "questions": {
            "type": "array",
            "maxItems": QUESTIONS_MAX,
            "items": {
                "type": "object",
                "required": ["text", "kind"],
                "properties": {
                    "text": {"type": "string"},
                    "kind": {"enum": ["free_text", "single_choice", "multi_choice", "yes_no"]},
                    "choices": {"type": "array", "items": {"type": "string"}, "maxItems": CHOICES_MAX},
                },
            },
        },
    },
}


def ambiguity_of(goal: float, constraints: float, success: float) -> float:
    """1 less (0.4·goal + 0.3·constraints + 0.3·success), each of them from 0 (unknown) to 1 (clear)."""
    clear = _WEIGHTS["goal"] * goal + _WEIGHTS["constraints"] * constraints + _WEIGHTS["success"] * success
    return round(1 - clear, 6)


def decide(said: _Said, rounds_left: int) -> Assessment:
    """What follows from the model's answer. Raises: Invalid, where it does not hang together."""
    if said.kind == "conversation":
        if not said.reply.strip():
            raise Invalid("`kind` is conversation and `reply` is empty", remedy="write the reply")
        return Conversation(said.reply.strip())
    if said.clarity is None:
        raise Invalid("`clarity` is missing", remedy="rate goal, constraints and success from 0 to 1")
    ambiguity = ambiguity_of(said.clarity.goal, said.clarity.constraints, said.clarity.success)
    if ambiguity <= AMBIGUITY_MAX or rounds_left <= 0:
        return Task(said.scope, ambiguity)
    questions = tuple(_question(one) for one in said.questions[:QUESTIONS_MAX])
    if not questions:
        raise Invalid(
            f"the ambiguity is {ambiguity:.2f}, over {AMBIGUITY_MAX}, and `questions` is empty",
            remedy="ask what would make it clear",
        )
    return Clarify(questions, ambiguity)


def _question(said: _SaidQuestion) -> Clarification:
    choices = tuple(dict.fromkeys(said.choices))[:CHOICES_MAX] if said.kind in _CHOICE_KINDS else ()
    if said.kind in _CHOICE_KINDS and len(choices) < 2:  # noqa: PLR2004 -- one choice is none
        raise Invalid(f"the question {said.text[:80]!r} is {said.kind} and has no two choices", remedy="give choices")
    return Clarification(said.text.strip(), said.kind, choices)


def assessment_json(found: Assessment) -> JsonObject:
    """As phase.finished holds it; `assessment_of` reads it back."""
    match found:
        case Conversation():
            return {"kind": "conversation", "reply": found.reply}
        case Clarify():
            return {
                "kind": "clarify",
                "ambiguity": found.ambiguity,
                "questions": [question_json(one) for one in found.questions],
            }
        case Task():
            payload: dict[str, JsonValue] = {"kind": "task", "scope": found.scope, "ambiguity": found.ambiguity}
            return {**payload, "fallback": found.fallback} if found.fallback else payload


def assessment_of(payload: JsonObject) -> Assessment:
    data = cast("dict[str, Any]", payload)
    match data["kind"]:
        case "conversation":
            return Conversation(data["reply"])
        case "clarify":
            asked = (Clarification(one["text"], one["kind"], tuple(one["choices"])) for one in data["questions"])
            return Clarify(tuple(asked), data["ambiguity"])
        case _:
            return Task(data["scope"], data["ambiguity"], data.get("fallback", ""))


def question_json(one: Clarification) -> JsonObject:
    return {"text": one.text, "kind": one.kind, "choices": list(one.choices)}


def numbered(questions: tuple[Clarification, ...]) -> str:
    """The questions as a person reads them."""
    return "\n".join(_question_text(number, one) for number, one in enumerate(questions, 1))


def answered(one: Round, answer: str) -> Round:
    return replace(one, answer=answer)


def _question_text(number: int, one: Clarification) -> str:
    choices = ("yes", "no") if one.kind == "yes_no" else one.choices
    several = "; several may be chosen" if one.kind == "multi_choice" else ""
    return f"{number}. {one.text}" + (f" ({' / '.join(choices)}{several})" if choices else "")


def _round_text(number: int, one: Round) -> str:
    return f"Round {number} of questions:\n{numbered(one.questions)}\nThe person answered:\n{one.answer}"
