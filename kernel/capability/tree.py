"""The derivation tree: which capability was derived from which, and what that bounds.

Guarantees: a node's authority never outlives or outnumbers that of any ancestor, because expiry is
narrowed at derivation and every use counts against each counted ancestor (`Node.counted`). A
deleted capability keeps its node while children live, so an ancestor's revocation still reaches
them.

Does not decide who may derive, revoke or delete: `kernel.capability.table` does.

Source: RFC-0003; seL4's capability derivation tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from kernel.capability.token import Capability
from kernel.ids import CapId, Principal


class State(Enum):
    """`PENDING` waits for its journal entry; `DELETED` has lost its slot; `GONE` is out of the tree."""

    PENDING = 1
    LIVE = 2
    DELETED = 3
    GONE = 4


class Node:
    """One capability's place in the tree and what changes about it: state and uses left."""

    __slots__ = ("cap", "children", "counted", "depth", "expires_us", "left", "mask", "parent", "port", "state")

    def __init__(self, cap: Capability, parent: Node | None, left: int | None, state: State = State.PENDING) -> None:
        self.cap = cap
        self.parent = parent
        self.left = left
        self.state = state
        self.depth: int = parent.depth + 1 if parent else 0
        self.children: dict[CapId, Node] = {}
        self.mask = int(cap.rights)
        """The rights as a plain int: masking an IntFlag costs ten times as much."""
        self.port = cap.resource.port
        self.expires_us = cap.expires_us
        inherited: tuple[Node, ...] = parent.counted if parent else ()
        self.counted = (*inherited, self) if left is not None else inherited
        """This node and its ancestors, those with a use count: a use is taken from each."""

    def usable(self, now_us: int) -> bool:
        """Live, unexpired, and with a use left here and in every counted ancestor."""
        return (
            self.state is State.LIVE
            and (self.expires_us is None or now_us < self.expires_us)
            and all(node.left for node in self.counted)
        )

    def spent(self, now_us: int) -> bool:
        """Can never be used again, nor can any descendant."""
        return (self.expires_us is not None and now_us >= self.expires_us) or any(
            node.left == 0 for node in self.counted
        )

    @property
    def uses_left(self) -> int | None:
        """The least of its own count and its ancestors'; None is unbounded."""
        return min((node.left or 0 for node in self.counted), default=None)

    def subtree(self) -> Iterator[Node]:
        """This node and every descendant, parents first."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    def held_above(self, who: Principal) -> bool:
        """True where `who` holds this capability or an ancestor of it that still has its slot."""
        node: Node | None = self
        while node is not None:
            if node.cap.holder == who and node.state is State.LIVE:
                return True
            node = node.parent
        return False


class Tree:
    """Every node by id, roots included."""

    def __init__(self) -> None:
        self._nodes: dict[CapId, Node] = {}

    def __contains__(self, cap: CapId) -> bool:
        return cap in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, cap: CapId) -> Node | None:
        return self._nodes.get(cap)

    def deleted(self) -> list[Node]:
        """The nodes that have lost their slot."""
        return [node for node in self._nodes.values() if node.state is State.DELETED]

    def add(self, node: Node) -> None:
        self._nodes[node.cap.id] = node
        if node.parent is not None:
            node.parent.children[node.cap.id] = node

    def cut(self, node: Node) -> list[Node]:
        """Take a node and all its descendants out; returns those that were not deleted before."""
        cut = list(node.subtree())
        parent = node.parent
        if parent is not None:
            parent.children.pop(node.cap.id, None)
        held = [each for each in cut if each.state is not State.DELETED]
        for each in cut:
            each.state = State.GONE
            del self._nodes[each.cap.id]
        if parent is not None:
            self._prune(parent)
        return held

    def bury(self, node: Node) -> None:
        """Delete one node: children live on below it, and it goes when the last of them has gone."""
        node.state = State.DELETED
        self._prune(node)

    def _prune(self, node: Node) -> None:
        current: Node | None = node
        while current is not None and current.state is State.DELETED and not current.children:
            current.state = State.GONE
            del self._nodes[current.cap.id]
            if current.parent is not None:
                current.parent.children.pop(current.cap.id, None)
            current = current.parent
