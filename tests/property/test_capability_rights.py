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


@given(masks, masks)
def test_masks_meet_and_join_as_their_bits_do(one: Rights, other: Rights) -> None:
    """What `&` and `|` give is a mask, of the bits that whole numbers would have."""
    assert (int(one & other), int(one | other)) == (int(one) & int(other), int(one) | int(other))
    assert all(isinstance(made, Rights) for made in (one & other, one | other, one & ~other))
    assert one & ~other == int(one) - (int(one) & int(other))


@pytest.mark.parametrize("text", ["q", "rwX", "r w", "--"])
def test_other_letters_are_refused(text: str) -> None:
    """Text that names no rights raises Invalid."""
    with pytest.raises(Invalid):
        Rights.parse(text)
