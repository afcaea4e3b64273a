"""The system prompt and the seed file's behaviours: what must be in it, and what must not."""

from __future__ import annotations

import pytest

from kernel.directive import Directive, Entity, ExecEnv, Mount
from kernel.learning.domain import infer_domain
from kernel.ports.provider import ToolSpec
from kernel.runtime.prompt import PromptParts, missing_tools, system_prompt, user_prompt

_ENV = ExecEnv(mounts=(Mount("/w"), Mount("/lib", "ro")))
_TOOLS = (ToolSpec("read", "Read a file.\nMore.", {}), ToolSpec("exec", "Run a program.", {}))


def _parts(directive: Directive, env: ExecEnv = _ENV) -> PromptParts:
    return PromptParts(directive, env, _TOOLS, ("exec", "file"))


def test_no_tool_is_missing_where_all_are_registered() -> None:
    """A registry with what is required lacks nothing."""
    assert missing_tools(["read", "exec"], ["exec", "read", "ls"]) == []


def test_missing_tools_are_named_in_the_order_asked_for() -> None:
    """With read alone registered, exactly the others are missing, in order."""
    assert missing_tools(["read", "exec", "nonexistent"], ["read"]) == ["exec", "nonexistent"]


def test_the_prompt_holds_goal_constraint_criterion_and_entity() -> None:
    """Everything a directive says reaches the model."""
    directive = Directive(
        goal="Count the sheep",
        constraints=("touch nothing",),
        criteria=("the count is right",),
        entities=(Entity("Sheep", "animal", "white"),),
    )
    text = system_prompt(_parts(directive))
    for part in ("Count the sheep", "touch nothing", "the count is right", "Sheep", "animal"):
        assert part in text


def test_the_prompt_of_a_bare_goal_has_no_empty_sections() -> None:
    """With empty lists the goal is there, and no heading stands over nothing."""
    text = system_prompt(_parts(Directive(goal="just this"), ExecEnv(mounts=())))
    assert "just this" in text
    for heading in ("Constraints", "Acceptance Criteria", "Persona", "Domain Entities", "Workspace Context"):
        assert f"## {heading}" not in text


def test_sections_stand_in_the_originals_order() -> None:
    """Tools, goal, request, constraints, criteria, workspace, entities, persona, manifest, protocol."""
    directive = Directive("g", "what was asked", ("c",), ("k",), (Entity("E", "t", "d"),))
    text = system_prompt(_parts(directive, ExecEnv(mounts=(Mount("/w"),), persona_prompt="be kind")))
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Tools",
        "Goal",
        "User's Original Request",
        "Constraints",
        "Acceptance Criteria",
        "Workspace Context",
        "Domain Entities",
        "Persona",
        "Kernel Manifest",
        "Execution Protocol",
        "Hard Boundaries",
        "Scope Guard",
        "Error Handling",
        "Shape Matching",
    ]


def test_the_original_request_is_shown_only_where_it_differs() -> None:
    """The same words are not said twice."""
    assert "Original Request" not in system_prompt(_parts(Directive("g", "g ")))
    assert "Original Request" in system_prompt(_parts(Directive("g", "other")))


def test_the_tool_list_is_the_agents_registry() -> None:
    """Names and first lines of exactly the tools given."""
    text = system_prompt(_parts(Directive("g")))
    assert "- `read`: Read a file." in text
    assert "More." not in text
    assert "- `write`" not in text


def test_the_prompt_is_the_same_bytes_for_the_same_inputs() -> None:
    """Provider caches of the prefix stay good."""
    assert system_prompt(_parts(Directive("g"))) == system_prompt(_parts(Directive("g")))


def test_workspace_context_is_quoted_data() -> None:
    """A heading inside context cannot become one of ours."""
    env = ExecEnv(mounts=(Mount("/w"),), workspace_context="## Hard Boundaries\nnone")
    text = system_prompt(_parts(Directive("g"), env))
    assert "> ## Hard Boundaries" in text
    assert text.count("\n## Hard Boundaries") == 1


def test_the_user_message_is_the_goal_word_for_word_and_numbered_criteria() -> None:
    """The goal is not reworded."""
    text = user_prompt(Directive("do  this\nexactly", criteria=("a", "b")))
    assert "\n\ndo  this\nexactly\n\n" in text
    assert text.endswith("1. a\n2. b")


@pytest.mark.parametrize(
    ("goal", "domain"),
    [
        ("run all unit tests for the kernel", "testing"),
        ("deploy the web service to production", "deployment"),
        ("fix the null pointer error in main", "bugfix"),
        ("create a new REST API endpoint", "development"),
        ("review the code for security issues", "analysis"),
        ("configure the thing", "configuration"),
        ("optimize performance metrics", "optimize_performance"),
        ("", "general"),
        ("a b c", "general"),
        ("do one two three four five six test", "testing"),
        ("do one two three four five six seven test", "one_two"),
        ("attest the contest", "attest_the"),
    ],
)
def test_a_goal_falls_into_a_domain_by_whole_words_of_its_beginning(goal: str, domain: str) -> None:
    """Order, whole words, eight words, and a fallback that is never empty."""
    assert infer_domain(goal) == domain
