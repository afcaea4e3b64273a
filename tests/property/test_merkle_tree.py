"""The Merkle tree against RFC 9162's recursive definition, and its proofs from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.journal.merkle import (
    CHUNK,
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(str(number).encode()) for number in range(700)]
SIZES = st.integers(1, 400)


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def over(start: int, stop: int) -> bytes:
    return naive_root(LEAVES[start:stop])


def test_the_rfc_6962_reference_vectors() -> None:
    """Empty tree and one empty leaf hash as the RFC's reference implementation has them."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    data = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    data.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
    roots = {
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for size, root in roots.items():
        assert root_of([leaf_hash(leaf) for leaf in data[:size]]).hex() == root


def test_every_size_up_to_three_hundred_has_the_naive_root() -> None:
    """A tree grown leaf by leaf has at each size the root of the definition."""
    tree = Frontier()
    for size in range(301):
        assert tree.root() == naive_root(LEAVES[:size])
        tree.extend([LEAVES[size]])


@given(st.lists(st.integers(0, 90), min_size=1, max_size=8))
def test_a_tree_grown_in_batches_and_stored_between_is_the_same(batches: list[int]) -> None:
    """However the leaves arrive, and through packing, root and chunk roots are those of the definition."""
    tree, chunks = Frontier(), list[tuple[int, bytes]]()
    for batch in batches:
        chunks += tree.extend(LEAVES[tree.size : tree.size + batch])
        tree = Frontier(tree.size, tree.packed())
    assert tree.root() == naive_root(LEAVES[: tree.size])
    assert chunks == [(n, over(n * CHUNK, (n + 1) * CHUNK)) for n in range(tree.size // CHUNK)]


@given(SIZES, st.data())
def test_inclusion_is_provable_and_nothing_else_is(size: int, data: st.DataObject) -> None:
    """Each leaf's path verifies; with another leaf, place, size, root or path it does not."""
    index = data.draw(st.integers(0, size - 1))
    path, root = inclusion_path(index, size, over), naive_root(LEAVES[:size])
    assert verify_inclusion(LEAVES[index], index, size, path, root)
    assert not verify_inclusion(LEAVES[index + 1], index, size, path, root)
    assert not verify_inclusion(LEAVES[index], index, size, path, naive_root(LEAVES[: size + 1]))
    assert not verify_inclusion(LEAVES[index], index, size, [*path, root], root)
    assert not verify_inclusion(LEAVES[index], size, size, path, root)
    if path:
        assert not verify_inclusion(LEAVES[index], index, size, path[:-1], root)
        assert not verify_inclusion(LEAVES[index], index ^ 1, size, path, root)
        spot = data.draw(st.integers(0, len(path) - 1))
        bent = [*path[:spot], bytes(32), *path[spot + 1 :]]
        assert not verify_inclusion(LEAVES[index], index, size, bent, root)


@settings(max_examples=200)
@given(SIZES, SIZES, st.data())
def test_consistency_is_provable_and_nothing_else_is(one: int, other: int, data: st.DataObject) -> None:
    """A prefix proves consistent with what it grew into, and with no other root or path."""
    old, new = sorted((one, other))
    path = consistency_path(old, new, over)
    old_root, new_root = naive_root(LEAVES[:old]), naive_root(LEAVES[:new])
    assert verify_consistency(old, new, old_root, new_root, path)
    assert not verify_consistency(old, new, old_root, naive_root(LEAVES[1 : new + 1]), path)
    assert not verify_consistency(old, new, naive_root(LEAVES[1 : old + 1]), new_root, path)
    assert not verify_consistency(old, new, old_root, new_root, [*path, old_root])
    assert not verify_consistency(new + 1, new, old_root, new_root, path)
    if path:
        spot = data.draw(st.integers(0, len(path) - 1))
        assert not verify_consistency(old, new, old_root, new_root, [*path[:spot], bytes(32), *path[spot + 1 :]])
        assert not verify_consistency(old, new, old_root, new_root, path[:-1])
