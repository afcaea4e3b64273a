"""Canonical JSON against an independent implementation of RFC 8785."""

from __future__ import annotations

import json

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from kernel.journal import codec
from kernel.jsontypes import JsonObject, JsonValue

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NUMBERS = st.integers(-codec.INTEGER_MAX, codec.INTEGER_MAX) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS: st.SearchStrategy[JsonObject] = st.dictionaries(TEXTS, VALUES, max_size=6)


@given(OBJECTS)
def test_it_agrees_with_another_implementation(value: JsonObject) -> None:
    """Any JSON object has the bytes that the rfc8785 package gives it, on both paths."""
    expected = rfc8785.dumps(value)  # type: ignore[arg-type] -- the package spells JSON its own way
    assert codec.canonical(value) == expected
    assert codec.exact(value) == expected


@given(
    st.dictionaries(st.sampled_from(['"', ",-1e5", ":9999999999999999", "[0.5", "a", "\ue000", "\U00010000"]), VALUES)
)
def test_texts_that_look_like_numbers_change_nothing(value: JsonObject) -> None:
    """What the fast path takes for a doubtful number inside a text still encodes exactly."""
    assert codec.canonical(value) == codec.exact(value)


@given(OBJECTS)
def test_it_reads_back_and_is_stable(value: JsonObject) -> None:
    """Reading the canonical bytes as JavaScript does, all numbers doubles, and encoding them again changes nothing."""
    once = codec.canonical(value)
    assert codec.canonical(json.loads(once, parse_int=float)) == once
