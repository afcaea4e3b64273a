"""Cutting text never breaks a character and never exceeds its bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel.runtime.text import bound_result, cut_bytes, cut_bytes_end, cut_chars, page_bytes, summarize


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
def test_a_bounded_result_fits_and_says_where_it_goes_on(text: str, bytes_max: int) -> None:
    """A result over the bound names its call and the first byte that is not shown, and is never over the bound."""
    bounded = bound_result(text, bytes_max, "r1.7")
    whole = text.encode()
    assert len(bounded.encode()) <= bytes_max
    if len(whole) <= bytes_max:
        assert bounded == text
        return
    offset = int(bounded.rpartition('read_output {"call": "r1.7", "offset": ')[2].partition("}")[0])
    head, _, rest = bounded.partition("\n[… ")
    if "\n[…" not in text:
        assert head.encode() == whole[:offset]
        assert text.endswith(rest.partition(" …]\n")[2])


@given(st.text(alphabet="aé漢😀\n", min_size=1, max_size=80), st.integers(1, 9))
def test_pages_that_follow_one_another_are_the_whole(text: str, bytes_max: int) -> None:
    """Reading on from each page's end gives every character once, whatever the page's size."""
    content, at, read = text.encode(), 0, ""
    while at < len(content):
        start, end = page_bytes(content, at, bytes_max)
        assert start == at
        assert end > start
        read += content[start:end].decode()
        at = end
    assert read == text


@given(st.text(alphabet="aé漢😀", min_size=1, max_size=20), st.integers(0, 80))
def test_a_page_from_inside_a_character_begins_at_that_character(text: str, offset: int) -> None:
    """An offset that a model guessed never breaks a character."""
    content = text.encode()
    at = min(offset, len(content) - 1)
    start, end = page_bytes(content, at, 8)
    assert start <= at < end or start == at
    content[start:end].decode()


def test_a_character_cut_ends_in_dots_only_where_something_was_cut() -> None:
    """At the bound nothing is cut, over it three dots end it."""
    assert cut_chars("a" * 10, 10) == "a" * 10
    assert cut_chars("a" * 11, 10) == "a" * 7 + "..."


def test_a_summary_is_the_text_its_first_line_or_that_line_cut() -> None:
    """Short text whole; else the first line; else 197 characters and dots."""
    assert summarize("  short ") == "short"
    assert summarize("first line\n" + "x" * 300) == "first line"
    assert summarize("é" * 300) == "é" * 197 + "..."
