"""Fenced plans: tool calls written out as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from kernel.ports.provider import ToolCall
from tests.unit.planner_world import Followed, fails, follow_goal, works


def plan(*entries: object, lang: str = "plan", before: str = "") -> str:
    return f"{before}```{lang}\n{json.dumps(list(entries))}\n```"


def read(path: str, **more: str) -> dict[str, object]:
    return {"tool": "read", "args": {"path": path}, **more}


def write(path: str, content: str) -> dict[str, object]:
    return {"tool": "write", "args": {"path": path, "content": content}}


def followed(goal: str, text: str = "A\nB\n") -> Followed:
    return follow_goal(goal, lambda call: (text, False) if call.name == "read" else works(call))


def test_entries_run_one_after_another_and_parallel_ones_together() -> None:
    """Each entry is a reply of its own; the calls of a parallel entry share one."""
    goal = plan(read("a"), {"parallel": [read("b"), read("c")]}, read("d"))
    assert [[args["path"] for _, args in calls] for calls in followed(goal).rounds] == [["a"], ["b", "c"], ["d"]]


def test_results_flow_into_later_entries() -> None:
    """Numbers, places in a parallel entry, ids, counts and nested places are all filled in."""
    goal = plan(
        read("a"),
        {"parallel": [read("b"), read("c", id="see")]},
        write("o", "{{1.text}}|{{2.1.lines}}|{{see.words}}|{{ 1.bytes }}|{{see}}"),
        {"tool": "exec", "args": {"argv": ["echo", "{{1.characters}}"]}},
    )
    calls = followed(goal).calls
    assert calls[3] == ("write", {"path": "o", "content": "A\nB\n|2|2|4|A\nB\n"})
    assert calls[4] == ("exec", {"argv": ["echo", "4"]})


def test_json_results_keep_their_type_where_they_stand_alone() -> None:
    """`{{1.json.a.0}}` alone is the value; within text it is its text."""
    goal = plan(
        read("a"), {"tool": "read", "args": {"path": "b", "limit": "{{1.json.n.0}}"}}, write("c", "n={{1.json.n}}")
    )
    calls = followed(goal, '{"n": [7]}').calls
    assert calls[1] == ("read", {"path": "b", "limit": 7})
    assert calls[2] == ("write", {"path": "c", "content": "n=[7]"})


def test_an_answer_is_the_whole_final_text() -> None:
    """A JSON answer is given as JSON and nothing else, so that it can fit an output schema."""
    goal = plan(read("a"), {"answer": {"lines": 2, "text": "{{1.words}} words"}}, before="Do this:\n")
    assert json.loads(followed(goal).text) == {"lines": 2, "text": "2 words"}


def test_an_answer_is_json_whatever_the_result_holds() -> None:
    """Quotes and newlines of a result do not break a JSON answer."""
    goal = plan(read("a"), {"answer": {"text": "{{1.text}}"}})
    assert json.loads(followed(goal, 'say "hi"\n').text) == {"text": 'say "hi"\n'}


@pytest.mark.parametrize("lang", ["json", ""])
def test_a_json_block_of_the_right_shape_is_a_plan(lang: str) -> None:
    """Without the word plan, the shape tells."""
    assert followed(plan(read("a"), lang=lang)).calls == [("read", {"path": "a"})]


def test_a_json_block_that_is_to_be_written_is_not_a_plan() -> None:
    """`Write this to x.json` writes it, also where it looks like a plan."""
    goal = plan(read("a"), lang="json", before="Write the following to x.json:\n")
    assert [name for name, _ in followed(goal).calls] == ["write"]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([{"tool": "fly"}], "no tool `fly`"),
        ([read("a"), write("b", "{{3.text}}")], "names no earlier entry"),
        ([read("a"), write("b", "{{2.text}}")], "names no earlier entry"),
        ([read("a"), write("b", "{{1.colour}}")], "no part of a result"),
        ([{"tool": "read", "args": [1]}], "args"),
        ([{"tool": "read", "argz": 1}], "argz"),
        ([{"parallel": "x"}], "a list of objects"),
        (["read"], "a list of objects"),
    ],
)
def test_a_plan_with_a_fault_is_not_begun(entries: Sequence[object], reason: str) -> None:
    """The fault is named, and nothing of the plan is done, what stands before the fault included."""
    result = followed(plan(*entries))
    assert result.calls == []
    assert reason in result.text


def test_a_plan_that_is_no_json_says_where() -> None:
    """A syntax error is told with its place."""
    assert "line 1 column" in followed("```plan\n[{]\n```").text


def test_a_failed_entry_stops_what_uses_it() -> None:
    """Entries that use a failed result are left; others are carried out; there is no answer, but a report."""
    goal = plan(read("a"), write("b", "{{1.text}}"), {"tool": "ls", "args": {}}, {"answer": "done {{1.text}}"})
    result = follow_goal(goal, fails("read"))
    assert [name for name, _ in result.calls] == ["read", "ls"]
    assert "Instructions carried out: 1 of 4." in result.text


def test_a_missing_place_in_a_result_fails_its_entry_alone() -> None:
    """A reference that turns out empty is said, and what does not use it goes on."""
    goal = plan(read("a"), write("b", "{{1.json.x}}"), read("c"))
    result = followed(goal, "{}")
    assert [name for name, _ in result.calls] == ["read", "read"]
    assert "has no json.x" in result.text


def test_forty_steps_are_forty_calls_in_order() -> None:
    """A long runbook neither skips nor repeats."""
    result = follow_goal(plan(*(write(f"f{number}", str(number)) for number in range(40))))
    assert [args["path"] for _, args in result.calls] == [f"f{number}" for number in range(40)]
    assert len({call.id for message in result.messages for call in message.calls}) == 40
    assert isinstance(result.messages[2].calls[0], ToolCall)
