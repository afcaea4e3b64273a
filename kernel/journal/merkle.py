"""The Merkle tree of RFC 6962/9162: leaf and node hashes, the growing tree, and its proofs.

Everything here is arithmetic over SHA-256 hashes: no files, no keys, no entries.
Source: RFC 9162, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

HASH_BYTES: Final = 32
CHUNK: Final = 256
"""Leaves of the subtrees whose roots the store keeps, so that a proof reads few rows."""
_CHUNK_LEVEL: Final = 8

EMPTY_ROOT: Final = sha256(b"").digest()

RangeHash: TypeAlias = Callable[[int, int], bytes]
"""The root over the leaves start <= index < stop, for ranges that RFC 9162's splits produce."""


def leaf_hash(content: bytes) -> bytes:
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows, as the roots of its perfect subtrees, largest first."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: bytes = b"") -> None:
        """Raises: ValueError, where `peaks` cannot belong to a tree of `size` leaves."""
        if len(peaks) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"{len(peaks)} bytes of peaks do not fit a tree of {size} leaves")
        self.size = size
        self.peaks = [peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)]

    def extend(self, leaves: Iterable[bytes]) -> list[tuple[int, bytes]]:
        """Add leaf hashes in order; returns (number, root) of every chunk this completed."""
        peaks, size = self.peaks, self.size
        chunks: list[tuple[int, bytes]] = []
        for leaf in leaves:
            top, level, rest = leaf, 0, size
            while rest & 1:
                top = sha256(b"\x01" + peaks.pop() + top).digest()
                rest >>= 1
                level += 1
                if level == _CHUNK_LEVEL:
                    chunks.append((size // CHUNK, top))
            peaks.append(top)
            size += 1
        self.size = size
        return chunks

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def packed(self) -> bytes:
        return b"".join(self.peaks)

    def copy(self) -> Frontier:
        return Frontier(self.size, self.packed())


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over whole leaf hashes held in memory."""
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def inclusion_path(index: int, size: int, over: RangeHash) -> list[bytes]:
    """The audit path of leaf `index` (from 0) in the tree of `size` leaves, lowest sibling first.

    Raises: ValueError, unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(over(middle, stop))
            stop = middle
        else:
            path.append(over(start, middle))
            start = middle
    path.reverse()
    return path


def consistency_path(old: int, new: int, over: RangeHash) -> list[bytes]:
    """That the tree of `old` leaves is a prefix of the one of `new`. Source: RFC 9162, 2.1.4.1.

    Raises: ValueError, unless 0 < old <= new.
    """
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from size {old} to size {new}")
    path: list[bytes] = []
    start, stop, whole = 0, new, True
    while old != stop:
        middle = start + _split(stop - start)
        if old <= middle:
            path.append(over(middle, stop))
            stop = middle
        else:
            path.append(over(start, middle))
            start, whole = middle, False
    if not whole:
        path.append(over(start, stop))
    path.reverse()
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Source: RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn, result = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            result = node_hash(sibling, result)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            result = node_hash(result, sibling)
        fn >>= 1
        sn >>= 1
    return sn == 0 and result == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Source: RFC 9162, 2.1.4.2."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    nodes = list(path)
    if old & (old - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    old_result = new_result = nodes[0]
    for sibling in nodes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old_result, new_result = node_hash(sibling, old_result), node_hash(sibling, new_result)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            new_result = node_hash(new_result, sibling)
        fn >>= 1
        sn >>= 1
    return sn == 0 and old_result == old_root and new_result == new_root


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << ((width - 1).bit_length() - 1)
