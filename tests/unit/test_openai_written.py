"""What of an answer is sent once it is known, after what was sent while it was written."""

from __future__ import annotations

import pytest

from webui.openai.written import Written


@pytest.mark.parametrize(
    ("passages", "reply", "rest"),
    [
        ((), "All.", "All."),
        ((), "", ""),
        (("All.",), "All.", ""),
        (("All.\n",), "All.", ""),
        (("I look.", "All."), "All.", ""),
        (("I look.", "All."), "All.\n\nReview notes: none", "\n\nReview notes: none"),
        (("I look.", "All."), "I look.\n\nAll.", ""),
        (("One.", "Two."), "One.", "\n\nOne."),
        (("All",), "Another.", "\n\nAnother."),
        (("All\n\n",), "Another.", "Another."),
        (("All.",), "", ""),
        (("  \n",), "All.", "All."),
    ],
)
def test_what_follows_is_what_was_not_sent(passages: tuple[str, ...], reply: str, rest: str) -> None:
    """Nothing of the reply is sent twice where the newest passages are it, or its beginning; else all of it is."""
    written = Written()
    for text in passages:
        written.passage()
        written.add(text)
    assert written.rest(reply) == rest


def test_passages_stand_apart_and_begin_with_a_word() -> None:
    """By a blank line, whatever ends the one and begins the other, in however many pieces they come."""
    written = Written()
    sent = [written.add(piece) for piece in ("\n", " One", " more.\n")]
    written.passage()
    sent += [written.add(piece) for piece in ("\n", "\n", "Two.")]
    assert sent == ["", "One", " more.\n", "", "", "\nTwo."]
    assert "".join(sent) == written.text == "One more.\n\nTwo."
