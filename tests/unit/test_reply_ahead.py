"""The reply of a conversation, read out of its JSON while that is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ouroboros.ahead import ReplyAhead
from ouroboros.schema import json_of


def _fed(text: str, size: int) -> list[str]:
    ahead = ReplyAhead()
    return [ahead.feed(text[start : start + size]) for start in range(0, len(text), size)]


_REST = st.dictionaries(
    st.sampled_from(["scope", "clarity", "questions", "more"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


@given(
    reply=st.text(),
    rest=_REST,
    first=st.booleans(),
    fenced=st.booleans(),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
    size=st.integers(1, 40),
)
def test_what_is_told_is_the_reply(
    *, reply: str, rest: dict[str, object], first: bool, fenced: bool, ascii_only: bool, indent: int | None, size: int
) -> None:
    """Whole, however the answer is written and cut, whatever stands beside it, wherever its kind does."""
    kind = {"kind": "conversation"}
    said = {**kind, **rest, "reply": reply} if first else {"reply": reply, **rest, **kind}
    text = json.dumps(said, ensure_ascii=ascii_only, indent=indent)
    text = f"```json\n{text}\n```" if fenced else text
    assert json_of(text) == said
    assert "".join(_fed(text, size)) == reply


@given(kind=st.sampled_from(["task", "clarify"]), reply=st.text(min_size=1), size=st.integers(1, 40))
def test_of_what_is_no_conversation_nothing_is_told(kind: str, reply: str, size: int) -> None:
    """Wherever its kind stands."""
    for said in ({"kind": kind, "reply": reply}, {"reply": reply, "kind": kind}):
        assert not "".join(_fed(json.dumps(said), size))


@given(text=st.text() | st.text('{}[]",:\\`jsonkindreply conversation\n', max_size=60), size=st.integers(1, 20))
def test_any_other_text_is_taken_in_silence(text: str, size: int) -> None:
    """Nothing is raised, and nothing told of an answer that is no object."""
    told = "".join(_fed(text, size))
    assert not told or text.lstrip("` \n\tjson").startswith("{")


def test_it_is_told_as_it_is_written() -> None:
    """Each piece as soon as it is there; half of a character waits for its other half."""
    ahead = ReplyAhead()
    pieces = [
        '{"kind": "conver',
        'sation", "rep',
        'ly": "On',
        "e \\",
        "n two \\ud83d",
        "\\ude00",
        ' end"',
        ', "scope": 1}',
    ]
    assert [ahead.feed(piece) for piece in pieces] == ["", "", "On", "e ", "\n two ", "😀", " end", ""]


@pytest.mark.parametrize("text", ["I am no model.", '["reply"]', "``` \nx", '"kind"'])
def test_plain_words_are_not_looked_through(text: str) -> None:
    """What does not begin as an object is never searched for one."""
    ahead = ReplyAhead()
    assert ahead.feed(text) == ""
    assert ahead.feed('{"kind": "conversation", "reply": "no"}') == ""
