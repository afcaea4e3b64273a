"""Rights as sets of four letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.capability.rights import Rights
from kernel.errors import Invalid

masks = st.integers(0, 15).map(Rights)


@given(masks)
def test_letters_read_back(rights: Rights) -> None:
    """Every mask survives its text."""
    assert Rights.parse(rights.letters()) == rights


@given(masks, masks)
def test_covers_is_superset(one: Rights, other: Rights) -> None:
    """Covering is containing, letter by letter."""
    letters = set(one.letters()) - {"-"}, set(other.letters()) - {"-"}
    assert one.covers(other) == (letters[1] <= letters[0])


@pytest.mark.parametrize("text", ["q", "rwX", "r w", "--"])
def test_other_letters_are_refused(text: str) -> None:
    """Text that names no rights raises Invalid."""
    with pytest.raises(Invalid):
        Rights.parse(text)
