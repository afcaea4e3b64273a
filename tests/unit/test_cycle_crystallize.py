"""Drafting a specification with a fake model: whole, editable, and the message itself where it cannot be had."""

from __future__ import annotations

import anyio
import pytest

from kernel.errors import Invalid
from ouroboros.assess import Ask, Clarification, Round
from ouroboros.criteria import parse_criterion
from ouroboros.crystallize import Drafted, crystallize, decided, editable, edited, shown, spec_json, verbatim
from ouroboros.nodes import prompt
from ouroboros.seed import SeedSpec
from tests.cycle_world import FakeModel

SAID = {
    "goal": "A page is there.",
    "constraints": ["plain HTML", " "],
    "criteria": ["File exists: index.html", "It reads well"],
    "output_schema": None,
}


def _draft(model: FakeModel, ask: Ask | None = None) -> Drafted:
    async def main() -> Drafted:
        return await crystallize(ask or Ask("make me a page"), model)

    return anyio.run(main)


def test_a_draft_is_whole_and_keeps_what_was_asked() -> None:
    """Criteria come in canonical form, empty lines are dropped, the message stands word for word."""
    found = _draft(FakeModel([SAID]))
    assert found.fallback == ""
    assert found.spec == SeedSpec(
        goal="A page is there.",
        constraints=("plain HTML",),
        criteria=("file exists: index.html", "It reads well"),
        original_request="make me a page",
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"criteria": ["file contains: a.txt"]}, "not whole"),
        ({"criteria": ["file matches: a :: /(/"]}, "pattern"),
        ({"output_schema": {"type": 7}}, "JSON Schema"),
        ({"criteria": ["output matches schema"]}, "no output_schema"),
        ({"goal": ""}, "goal"),
        ({"criteria": ["x"] * 21}, "criteria"),
    ],
)
def test_a_draft_with_a_fault_is_corrected_once(change: dict[str, object], why: str) -> None:
    """What no Seed could be is told to the model; its second draft counts."""
    model = FakeModel([{**SAID, **change}, SAID])
    assert _draft(model).spec.goal == "A page is there."
    assert why in model.asked[1].messages[-1][1]


def test_two_bad_drafts_leave_the_message() -> None:
    """The fallback is the message as the goal, with what was clarified as constraints, and says why."""
    ask = Ask("make it", rounds=(Round((Clarification("Where?"), Clarification("When?")), "here, now"),))
    found = _draft(FakeModel(["?", "?"]), ask)
    assert found.spec == verbatim(ask)
    assert found.spec.goal == found.spec.original_request == "make it"
    assert found.spec.constraints == ("Asked:\n1. Where?\n2. When?\nAnswered: here, now",)
    assert found.spec.criteria == ()
    assert "not JSON" in found.fallback


def test_without_a_language_model_the_message_is_the_goal() -> None:
    """The planner drafts nothing and is not asked."""
    model = FakeModel([], speaks=False)
    assert _draft(model) == Drafted(verbatim(Ask("make me a page")))
    assert model.asked == []


@pytest.mark.parametrize(
    "spec",
    [
        SeedSpec(goal="One line.", original_request="m"),
        SeedSpec(goal="Two\n\nparts", constraints=("a: b", "c"), criteria=("file exists: x y.txt",)),
        SeedSpec(goal="# Constraints\n\n- not one", constraints=("many\nlines",), original_request='"q" \\ é'),
        SeedSpec(goal="g", criteria=("output matches schema",), output_schema={"type": ["object", "null"]}),
    ],
)
def test_a_draft_that_was_not_changed_is_the_same_after_editing(spec: SeedSpec) -> None:
    """Whatever the text form cannot hold is written as JSON: the draft comes back equal."""
    assert edited(*editable(spec)) == spec


def test_an_edit_that_is_wrong_says_where() -> None:
    """A criterion that was spoilt in the editor is refused with its reason."""
    text, suffix = editable(SeedSpec(goal="g", criteria=("file exists: a",)))
    assert suffix == ".md"
    with pytest.raises(Invalid, match="not whole"):
        edited(text.replace("file exists: a", "file exists:"), suffix)


def test_the_draft_is_shown_whole() -> None:
    """Goal, every constraint and criterion, and the schema are in what the person reads."""
    spec = SeedSpec(goal="g", constraints=("c",), criteria=("output matches schema",), output_schema={"type": "object"})
    assert shown(spec).splitlines() == [
        "Goal: g", "Constraints:", "  1. c", "Criteria:", "  1. output matches schema",
        'Output schema: {"type": "object"}',
    ]  # fmt: skip
    assert SeedSpec.model_validate(spec_json(spec)) == spec


def test_the_forms_that_the_prompt_teaches_are_forms() -> None:
    """Every criterion the prompt shows in backticks is one that a program decides."""
    taught = [line.split("`")[1] for line in prompt("crystallize").splitlines() if line.startswith("  - `")]
    assert len(taught) == 10
    assert all(parse_criterion(text.replace("PATTERN", "x")).executable for text in taught)


@pytest.mark.parametrize(
    ("decision", "goal"),
    [
        ({"choice": "confirm"}, "greet"),
        ({"choice": "edit", "draft": {"goal": "wave"}}, "wave"),
        ({"choice": "edit", "text": "---\n---\nsing\n"}, "sing"),
        ({"choice": "edit", "text": '{"goal": "dance"}', "suffix": ".json"}, "dance"),
    ],
)
def test_a_decision_is_data(decision: dict[str, object], goal: str) -> None:
    """Confirmed, or edited by fields or as text; what was asked stays what was asked."""
    draft = SeedSpec(goal="greet", criteria=("It is kind",), original_request="please greet")
    spec = decided(draft, decision)
    assert spec is not None
    assert spec.goal == goal
    if "draft" in decision:
        assert (spec.criteria, spec.original_request) == (("It is kind",), "please greet")


@pytest.mark.parametrize(
    "decision",
    [
        {},
        {"choice": "maybe"},
        {"choice": "edit"},
        {"choice": "edit", "draft": {"goal": ""}},
        {"choice": "edit", "draft": {"x": 1}},
    ],
)
def test_a_decision_that_is_none_is_refused(decision: dict[str, object]) -> None:
    """Neither a choice nor a draft that would be one is taken for a yes; a decline is None."""
    with pytest.raises(Invalid):
        decided(SeedSpec(goal="greet"), decision)
    assert decided(SeedSpec(goal="greet"), {"choice": "decline"}) is None
