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


def _results(number: int, count: int) -> list[Message]:
    """One reply with several calls, and their results."""
    calls = tuple(ToolCall(f"c{number}.{one}", "read", "{}") for one in range(count))
    return [Message("assistant", "", calls), *(Message("tool", "y" * 90, call_id=one.id) for one in calls)]


@given(
    st.lists(st.one_of(st.integers(1, 4), st.sampled_from(["person", "hint"])), min_size=1, max_size=30),
    st.integers(0, 3),
    st.integers(60, 2_000),
    st.integers(1, 3),
)
def test_nothing_that_counts_is_ever_lost(units: list[int | str], unanswered: int, window: int, times: int) -> None:
    """Cut and cut again: goal, every word of a person (the newest above all), open calls and whole units stay."""
    messages, said = [Message("system", "s"), Message("user", "the goal")], list[str]()
    for number, unit in enumerate(units):
        if isinstance(unit, int):
            messages += _results(number, unit)
        else:
            text = f"{KERNEL_NOTE}hint {number}" if unit == "hint" else f"person says {number:03}"
            said += [text] if unit == "person" else []
            messages.append(Message("user", text))
    if unanswered:  # Calls that wait for an approval: no result stands there yet.
        messages.append(_results(99, unanswered)[0])
    kept = messages
    for _ in range(times):
        cut = plan_cut(kept, window, force=True)
        if cut is not None:
            kept = compacted(kept, cut.end, "what was done")
    assert kept[:PREFIX] == messages[:PREFIX]
    told = "\n".join(message.text for message in kept if message.role == "user")
    assert [one for one in said if one in told.split("\n")] == said
    assert sorted(said, key=told.rindex) == said
    assert kept[-1] == messages[-1] or messages[-1].text in told
    asked = [call.id for message in kept for call in message.calls]
    answered = [message.call_id for message in kept if message.role == "tool"]
    open_calls = [call.id for call in messages[-1].calls] if unanswered else []
    assert asked == [*answered, *open_calls]


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
