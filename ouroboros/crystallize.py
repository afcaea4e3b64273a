"""Crystallize: from a message to a specification that a person can read, change and accept.

Guarantees: what comes out is a whole `SeedSpec` whose executable criteria are well formed and whose
`original_request` is the message, word for word. Where the model's draft cannot be read twice, the
message itself is the goal, and the record says that it was a fallback.
What this does not do: carry anything out. The draft is nothing until it is accepted, and then it is
a Seed, which never changes.

Source: RFC-0013.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kernel.errors import Invalid
from kernel.jsontypes import JsonObject
from ouroboros.assess import Ask, numbered
from ouroboros.nodes import Model, Question, ask_json, prompt, read_as
from ouroboros.seed import SeedSpec
from ouroboros.seedfile import parse_seed

ITEMS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft; `fallback` says why it is the message alone, where that is so."""

    spec: SeedSpec
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Crystallize:
    """The node."""

    model: Model
    read: Callable[[], Ask]
    phase: str = "crystallize"

    async def prep(self) -> Ask:
        return self.read()

    async def exec(self, inputs: Ask) -> Drafted:
        return await crystallize(inputs, self.model)

    async def post(self, inputs: Ask, outcome: Drafted) -> JsonObject:  # noqa: ARG002 -- the node's form
        fallback = {"fallback": outcome.fallback} if outcome.fallback else {}
        return {"draft": spec_json(outcome.spec), **fallback}


async def crystallize(ask: Ask, model: Model) -> Drafted:
    """Raises: OxiosError, where the model cannot be asked; Invalid, where the message is no goal."""
    if not model.speaks:
        return Drafted(verbatim(ask))
    question = Question("crystallize", prompt("crystallize"), (("user", ask.text()),), SCHEMA)
    try:
        return Drafted(await ask_json(model, question, lambda value: draft_of(read_as(_Said, value), ask)))
    except Invalid as fault:
        return Drafted(verbatim(ask), fault.message)


class _Said(BaseModel):
    """What the model answers."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    goal: Annotated[str, Field(min_length=1)]
    constraints: Annotated[tuple[str, ...], Field(max_length=ITEMS_MAX)] = ()
    criteria: Annotated[tuple[str, ...], Field(max_length=ITEMS_MAX)] = ()
    output_schema: dict[str, Any] | None = None


SCHEMA: Final[JsonObject] = {
    "type": "object",
    "required": ["goal", "constraints", "criteria"],
    "properties": {
        "goal": {"type": "string"},
        "constraints": {"type": "array", "items": {"type": "string"}, "maxItems": ITEMS_MAX},
        "criteria": {"type": "array", "items": {"type": "string"}, "maxItems": ITEMS_MAX},
        "output_schema": {"type": ["object", "null"]},
    },
}


def draft_of(said: _Said, ask: Ask) -> SeedSpec:
    """Raises: Invalid, with what is wrong of the draft."""
    return _spec(
        goal=said.goal,
        constraints=[text for text in said.constraints if text.strip()],
        criteria=[text for text in said.criteria if text.strip()],
        output_schema=said.output_schema,
        original_request=ask.message,
    )


def verbatim(ask: Ask) -> SeedSpec:
    """The message as the goal; what was clarified are its constraints. Raises: Invalid."""
    constraints = [f"Asked:\n{numbered(one.questions)}\nAnswered: {one.answer}" for one in ask.rounds]
    return _spec(goal=ask.message, constraints=constraints, original_request=ask.message)


def spec_json(spec: SeedSpec) -> JsonObject:
    """Without what is empty; `SeedSpec.model_validate` reads it back."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def editable(spec: SeedSpec) -> tuple[str, str]:
    """The draft as a text to edit, and its suffix: Markdown, or JSON where Markdown would not give it back."""
    fields = {key: value for key, value in spec_json(spec).items() if key not in {"goal", "constraints", "criteria"}}
    matter = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())
    lists = f"## Constraints\n{_list(spec.constraints)}\n## Criteria\n{_list(spec.criteria)}"
    text = f"---\n{matter}---\n{spec.goal}\n\n{lists}"
    try:
        if parse_seed(text, "md", "draft") == spec:
            return text, ".md"
    except Invalid:
        return json.dumps(spec_json(spec), ensure_ascii=False, indent=2) + "\n", ".json"
    return json.dumps(spec_json(spec), ensure_ascii=False, indent=2) + "\n", ".json"


def edited(text: str, suffix: str) -> SeedSpec:
    """Raises: Invalid, with the line where it is known."""
    return parse_seed(text, "md" if suffix == ".md" else "json", "draft")


def decided(draft: SeedSpec, decision: Mapping[str, object]) -> SeedSpec | None:
    """What a decision makes of a draft; None where it is declined.

    `choice` is confirm, decline or edit; an edit has the changed fields of the draft as `draft`, or the
    whole as `text`, in the form of `suffix` (.md or .json), as `editable` gives it.
    Raises: Invalid.
    """
    match decision:
        case {"choice": "confirm"}:
            return draft
        case {"choice": "decline"}:
            return None
        case {"choice": "edit", "draft": Mapping()}:
            changed = cast("Mapping[str, object]", decision["draft"])
            return _spec(**{**draft.model_dump(mode="json"), **changed, "original_request": draft.original_request})
        case {"choice": "edit", "text": str(text)}:
            return edited(text, str(decision.get("suffix", ".md")))
        case _:
            raise Invalid(
                "that decides nothing about the draft",
                remedy="`choice` is confirm, decline, or edit with `draft` (fields) or `text` (and its `suffix`)",
            )


def shown(spec: SeedSpec) -> str:
    """The draft for a person to read."""
    parts = [f"Goal: {spec.goal}"]
    for title, items in (("Constraints", spec.constraints), ("Criteria", spec.criteria)):
        if items:
            parts.append(f"{title}:\n" + "\n".join(f"  {number}. {item}" for number, item in enumerate(items, 1)))
    if spec.output_schema is not None:
        parts.append(f"Output schema: {json.dumps(spec.output_schema, ensure_ascii=False)}")
    return "\n".join(parts)


def _spec(**fields: object) -> SeedSpec:
    try:
        return SeedSpec.model_validate(fields)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_url=False, include_context=False)
        ]
        raise Invalid("; ".join(faults[:5]), remedy="correct what is named") from error


def _list(items: tuple[str, ...]) -> str:
    return "".join(f"- {item}\n" for item in items) + ("\n" if items else "")
