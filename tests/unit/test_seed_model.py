"""The Seed: immutable, with identity and lineage, and back from its own JSON."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kernel.directive import Budget, Entity
from kernel.errors import Invalid
from kernel.pattern import PATTERN_CHARS_MAX
from ouroboros.seed import (
    AMOUNT_MAX,
    GOAL_CHARS_MAX,
    LIST_ITEMS_MAX,
    MOUNTS_MAX,
    NAME_CHARS_MAX,
    SECONDS_MAX,
    Seed,
    SeedSpec,
)
from ouroboros.seedfile import DEPTH_MAX, INTEGER_MAX, parse_seed

NOW_US = 1_800_000_000_000_000
SPEC = SeedSpec.model_validate(
    {
        "goal": "Tidy",
        "constraints": ["slowly"],
        "criteria": ["file exists: a"],
        "ontology": [{"name": "note", "type": "file", "description": "d"}],
        "output_schema": {"type": "object"},
        "mounts": ["."],
        "cspace_hint": ["file:/w/** r", "exec:ls x"],
        "budget": {"tokens": 5},
    }
)


def test_a_new_seed_is_the_first_generation() -> None:
    """A new seed has an id of its own, generation 0, no parent, and the goal as original request."""
    seed = Seed.new(SPEC, NOW_US)
    assert (seed.generation, seed.parent, seed.created_us, seed.original_request) == (0, None, NOW_US, "Tidy")
    assert seed.id.startswith("s")
    assert Seed.new(SPEC, NOW_US).id != seed.id


def test_evolving_keeps_lineage_and_leaves_the_parent_alone() -> None:
    """A child copies everything but what is changed, points to its parent, and is checked like any seed."""
    parent = Seed.new(SPEC, NOW_US)
    child = parent.evolved(NOW_US + 5, constraints=("slowly", "again"))
    assert (child.generation, child.parent, child.created_us) == (1, parent.id, NOW_US + 5)
    assert (child.goal, child.constraints, parent.constraints) == ("Tidy", ("slowly", "again"), ("slowly",))
    assert child.evolved(NOW_US).generation == 2
    with pytest.raises(ValidationError):
        parent.evolved(NOW_US, goal="")


def test_a_seed_cannot_be_changed() -> None:
    """Assigning to a field of a seed or of its parts raises."""
    seed = Seed.new(SPEC, NOW_US)
    with pytest.raises(ValidationError):
        seed.goal = "x"  # pyright: ignore[reportAttributeAccessIssue] -- the point of the test
    with pytest.raises(ValidationError):
        seed.budget.tokens = 3  # pyright: ignore[reportAttributeAccessIssue] -- the point of the test


def test_a_seed_comes_back_from_its_payload() -> None:
    """What the journal keeps of a seed is the whole of it."""
    seed = Seed.new(SPEC, NOW_US).evolved(NOW_US + 1)
    assert Seed.model_validate(seed.payload()) == seed


def test_the_digest_is_of_what_was_specified() -> None:
    """Two seeds of one specification share a digest; another goal has another."""
    first, second = Seed.new(SPEC, NOW_US), Seed.new(SPEC, NOW_US + 7)
    assert first.digest == second.digest
    assert Seed.new(SPEC.model_copy(update={"goal": "Other"}), NOW_US).digest != first.digest


def test_a_seed_becomes_a_directive() -> None:
    """Goal, criteria, entities, schema, hint and budget reach the kernel's own words."""
    seed = Seed.new(SPEC, NOW_US)
    directive = seed.directive()
    assert (directive.goal, directive.criteria) == ("Tidy", ("file exists: a",))
    assert directive.entities == (Entity("note", "file", "d"),)
    assert directive.output_schema == {"type": "object"}
    assert seed.hint() == "file:/w/** r\nexec:ls x"
    assert seed.budget.kernel() == Budget(tokens_max=5)


@pytest.mark.parametrize(
    ("most", "over"),
    [
        ({"goal": "x" * GOAL_CHARS_MAX}, {"goal": "x" * (GOAL_CHARS_MAX + 1)}),
        ({"constraints": ["x"] * LIST_ITEMS_MAX}, {"constraints": ["x"] * (LIST_ITEMS_MAX + 1)}),
        ({"criteria": ["x"] * LIST_ITEMS_MAX}, {"criteria": ["x"] * (LIST_ITEMS_MAX + 1)}),
        ({"mounts": ["x"] * MOUNTS_MAX}, {"mounts": ["x"] * (MOUNTS_MAX + 1)}),
        ({"budget": {"tokens": AMOUNT_MAX}}, {"budget": {"tokens": AMOUNT_MAX + 1}}),
        ({"budget": {"calls": 1}}, {"budget": {"calls": 0}}),
        ({"budget": {"seconds": SECONDS_MAX}}, {"budget": {"seconds": SECONDS_MAX + 1}}),
        ({"model": "x" * NAME_CHARS_MAX}, {"model": "x" * (NAME_CHARS_MAX + 1)}),
        ({"persona": "x" * NAME_CHARS_MAX}, {"persona": "x" * (NAME_CHARS_MAX + 1)}),
        (
            {"criteria": [f"output matches /{'x' * PATTERN_CHARS_MAX}/"]},
            {"criteria": [f"output matches /{'x' * (PATTERN_CHARS_MAX + 1)}/"]},
        ),
    ],
)
def test_every_bound_holds_on_both_sides(most: dict[str, object], over: dict[str, object]) -> None:
    """The most that a field may hold is taken; one more is refused."""
    assert SeedSpec.model_validate({"goal": "x", **most})
    with pytest.raises(ValidationError):
        SeedSpec.model_validate({"goal": "x", **over})


def test_depth_and_integers_are_bounded_on_both_sides() -> None:
    """Nesting of DEPTH_MAX and an integer of INTEGER_MAX are taken; one more of either is refused."""

    def nested(depth: int, leaf: int = 1) -> str:
        # The field itself is the first level.
        return '{"goal": "x", "output_schema": ' + '{"x-a": ' * (depth - 1) + str(leaf) + "}" * depth

    assert parse_seed(nested(DEPTH_MAX, INTEGER_MAX), "json", "x")
    with pytest.raises(Invalid, match="deeper"):
        parse_seed(nested(DEPTH_MAX + 1), "json", "x")
    with pytest.raises(Invalid, match="too large"):
        parse_seed(nested(2, INTEGER_MAX + 1), "json", "x")
