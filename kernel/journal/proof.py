"""Proofs about the stored log: roots at any size, inclusion of an entry, consistency of two sizes.

Guarantees: a proof that these functions return was checked against the root it names before it was
returned. A proof over n entries reads at most 512 leaf hashes and n / 256 chunk roots.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.errors import Conflict, Invalid, NotFound
from kernel.journal.merkle import (
    CHUNK,
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    verify_consistency,
    verify_inclusion,
)
from kernel.ports.store import StoreReader


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That the leaf of entry `seq` is in the tree of `size` entries."""

    seq: int
    size: int
    leaf: bytes
    path: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of `old` entries is the beginning of the one of `new`."""

    old: int
    new: int
    old_root: bytes
    new_root: bytes
    path: tuple[bytes, ...]


class StoredTree:
    """The Merkle tree over the leaf hashes that a store holds; `size` is its end."""

    def __init__(self, reader: StoreReader, size: int) -> None:
        self._reader = reader
        self.size = size

    def root(self, size: int) -> bytes:
        """Raises: Invalid, beyond the tree; Conflict, where leaves are missing."""
        if not 0 <= size <= self.size:
            raise Invalid(f"there is no size {size}", remedy=f"the journal holds {self.size} entries")
        return self._over(0, size) if size else EMPTY_ROOT

    def inclusion(self, seq: int, size: int | None = None) -> Inclusion:
        """Raises: NotFound, where the log has no such entry; Conflict, where leaves do not fit."""
        size = self.size if size is None else size
        if not 1 <= seq <= size <= self.size:
            raise NotFound(f"there is no entry {seq}", remedy=f"the journal holds entries 1 to {size}")
        leaf, root = self._over(seq - 1, seq), self.root(size)
        path = tuple(inclusion_path(seq - 1, size, self._over))
        if not verify_inclusion(leaf, seq - 1, size, path, root):
            raise _unfit()
        return Inclusion(seq, size, leaf, path, root)

    def consistency(self, old: int, new: int) -> Consistency:
        """Raises: Invalid, unless 1 <= old <= new <= size; Conflict, where leaves do not fit."""
        if not 1 <= old <= new <= self.size:
            raise Invalid(
                f"there is no consistency proof from size {old} to {new}",
                remedy=f"sizes go up from 1 to {self.size}",
            )
        old_root, new_root = self.root(old), self.root(new)
        path = tuple(consistency_path(old, new, self._over))
        if not verify_consistency(old, new, old_root, new_root, path):
            raise _unfit()
        return Consistency(old, new, old_root, new_root, path)

    def _over(self, start: int, stop: int) -> bytes:
        """Ranges wider than a chunk begin at a chunk: RFC 9162 splits at powers of two."""
        first, last = start // CHUNK, stop // CHUNK
        tree = Frontier()
        if start % CHUNK == 0 and last > first:
            roots = self._reader.chunks(first, last)
            if [number for number, _ in roots] != list(range(first, last)):
                raise Conflict("the stored tree has a gap", remedy="run `oxios audit verify`")
            tree.extend(bytes(root) for _, root in roots)
            tree = Frontier(tree.size * CHUNK, tree.packed())
        begin = start + tree.size
        leaves = self._reader.leaves(begin, stop)
        if [seq for seq, _ in leaves] != list(range(begin + 1, stop + 1)):
            raise Conflict("entries are missing from the database", remedy="run `oxios audit verify`")
        tree.extend(bytes(leaf) for _, leaf in leaves)
        return tree.root()


def _unfit() -> Conflict:
    return Conflict("the stored hashes contradict each other", remedy="run `oxios audit verify`")
