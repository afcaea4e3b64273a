"""Compaction: what stays, what goes, and what is told of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel.ports.provider import KERNEL_NOTE, Message, ToolCall
from kernel.runtime.context import PREFIX, compacted, extract, plan_cut, starts_unit, summary_request
from kernel.runtime.text import tokens_of


def _talk(steps: int, size: int = 400, said: dict[int, str] | None = None) -> list[Message]:
    """A system prompt, a goal, and `steps` calls with results; `said` are a person's words after a step."""
    messages = [Message("system", "s" * 40), Message("user", "the goal")]
    for number in range(1, steps + 1):
        messages.append(Message("assistant", "", (ToolCall(f"c{number}", "read", f'{{"n": {number}}}'),)))
        messages.append(Message("tool", f"result {number}\n" + "x" * size, call_id=f"c{number}"))
        if said and number in said:
            messages.append(Message("user", said[number]))
    return messages


def test_a_conversation_that_fits_is_left_alone() -> None:
    """Below the trigger nothing is cut, above it something is."""
    messages = _talk(10)
    total = tokens_of(messages)
    assert plan_cut(messages, total * 2) is None
    assert plan_cut(messages, total) is not None


def test_a_provider_that_says_it_is_too_long_is_believed() -> None:
    """Forced, a conversation that seems to fit is cut to half."""
    messages = _talk(10)
    cut = plan_cut(messages, tokens_of(messages) * 10, force=True)
    assert cut is not None
    assert tokens_of(messages[cut.end :]) <= tokens_of(messages) / 2


@given(st.integers(2, 40), st.integers(10, 900), st.integers(200, 6000))
def test_a_cut_never_parts_a_call_from_its_result(steps: int, size: int, window: int) -> None:
    """What is kept begins with no orphaned result, and every result kept has its call."""
    messages = _talk(steps, size)
    cut = plan_cut(messages, window)
    if cut is None:
        return
    kept = compacted(messages, cut.end, "summary")
    assert starts_unit(messages, cut.end)
    known = {call.id for message in kept for call in message.calls}
    assert all(message.call_id in known for message in kept if message.role == "tool")
    assert kept[-1] == messages[-1]
    assert len(kept) < len(messages) or cut.end == PREFIX + 1


def test_goal_and_a_persons_words_survive_word_for_word() -> None:
    """Prefix identical, everything a person said is there, kernel hints are not kept."""
    messages = _talk(20, said={3: "never touch b.txt", 5: f"{KERNEL_NOTE}a hint"})
    cut = plan_cut(messages, 1500)
    assert cut is not None
    kept = compacted(messages, cut.end, "what was done")
    assert kept[:PREFIX] == messages[:PREFIX]
    assert "never touch b.txt" in kept[PREFIX].text
    assert "a hint" not in kept[PREFIX].text
    assert "> what was done" in kept[PREFIX].text


def test_a_second_compaction_keeps_the_first_summary() -> None:
    """Nothing that was told once is forgotten at the next cut."""
    first = compacted(_talk(20), 10, "the first half")
    second = compacted([*first, *_talk(20)[2:]], 20, "the second half")
    assert "the first half" in second[PREFIX].text
    assert "the second half" in second[PREFIX].text


def test_the_extract_names_calls_and_first_lines_and_counts_the_rest() -> None:
    """Without a model the newest calls are listed, the others counted."""
    messages = _talk(40)
    text = extract(messages, len(messages))
    assert '- read {"n": 40}: result 40' in text
    assert "earlier calls are left out" in text
    assert len(text) < 5000


def test_the_request_for_a_summary_is_bounded_and_quotes_the_steps() -> None:
    """The newest part of the steps is what a model gets to read."""
    messages = _talk(40)
    request = summary_request(messages, len(messages), 1000)
    assert request[0].role == "system"
    assert len(request[1].text) < 1400
    assert "> " in request[1].text
