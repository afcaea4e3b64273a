"""Cutting text never breaks a character and never exceeds its bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel.runtime.text import bound_result, cut_bytes, cut_bytes_end, cut_chars, summarize


@given(st.text(), st.integers(0, 50))
def test_a_byte_cut_is_a_prefix_within_the_bound(text: str, bytes_max: int) -> None:
    """For any script, the cut is a beginning of the text and fits."""
    cut = cut_bytes(text, bytes_max)
    assert text.startswith(cut)
    assert len(cut.encode()) <= bytes_max


@given(st.text(), st.integers(1, 50))
def test_a_byte_cut_from_the_end_is_a_suffix_within_the_bound(text: str, bytes_max: int) -> None:
    """For any script, the cut is an end of the text and fits."""
    cut = cut_bytes_end(text, bytes_max)
    assert text.endswith(cut)
    assert len(cut.encode()) <= bytes_max


@given(st.text(min_size=0, max_size=4000), st.integers(400, 900))
def test_a_bounded_result_fits_and_says_where_the_whole_is(text: str, bytes_max: int) -> None:
    """A result over the bound names its blob and is never longer than the bound."""
    bounded = bound_result(text, bytes_max, "d" * 64)
    assert len(bounded.encode()) <= bytes_max
    if len(text.encode()) <= bytes_max:
        assert bounded == text
    else:
        assert "dddddddddddddddd" in bounded


def test_a_character_cut_ends_in_dots_only_where_something_was_cut() -> None:
    """At the bound nothing is cut, over it three dots end it."""
    assert cut_chars("a" * 10, 10) == "a" * 10
    assert cut_chars("a" * 11, 10) == "a" * 7 + "..."


def test_a_summary_is_the_text_its_first_line_or_that_line_cut() -> None:
    """Short text whole; else the first line; else 197 characters and dots."""
    assert summarize("  short ") == "short"
    assert summarize("first line\n" + "x" * 300) == "first line"
    assert summarize("é" * 300) == "é" * 197 + "..."
