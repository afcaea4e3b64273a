"""Who holds what now: every cspace and the tree they share, in memory.

Guarantees: a node is in the tree exactly while it, or something derived from it, stands in a slot;
a node cut from the tree is in no cspace. Nothing here waits, so nothing is half done between two
tasks.

Does not know the journal and does not decide who may: `kernel.capability.table` does.

Source: RFC-0003.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernel.capability.cspace import CSpace
from kernel.capability.token import Need
from kernel.capability.tree import Node, State, Tree
from kernel.errors import NotFound, OxiosError
from kernel.ids import CapId, Principal


class Holdings:
    """Slots and tree, changed together."""

    def __init__(self) -> None:
        self._tree = Tree()
        self._spaces: dict[Principal, CSpace] = {}

    def __contains__(self, cap: CapId) -> bool:
        return cap in self._tree

    def __len__(self) -> int:
        return len(self._tree)

    def get(self, cap: CapId) -> Node | None:
        return self._tree.get(cap)

    def node(self, cap: CapId) -> Node:
        """Raises: NotFound, where it is not in the tree or still waits for its journal entry."""
        node = self._tree.get(cap)
        if node is None or node.state is State.PENDING:
            raise NotFound(
                f"there is no capability {cap}",
                remedy="`oxios caps list` shows those that are held; it may have been revoked or have expired",
            )
        return node

    def live(self, cap: CapId, now_us: int) -> Node:
        """Raises: NotFound, unless it stands in a slot and has not expired."""
        node = self.node(cap)
        if node.state is not State.LIVE or node.spent(now_us):
            raise NotFound(f"{cap} was deleted, used up or has expired", remedy="ask for a new capability")
        return node

    def slots(self, holder: Principal) -> tuple[Node, ...]:
        return tuple(self._spaces.get(holder, ()))

    def holders(self) -> tuple[Principal, ...]:
        return tuple(self._spaces)

    def cover(self, holder: Principal, needs: Iterable[Need], now_us: int) -> tuple[CapId, ...] | Need:
        space = self._spaces.get(holder)
        found: dict[CapId, None] = {}
        for need in needs:
            node = space.find(need.resource, int(need.right), now_us) if space is not None else None
            if node is None:
                return need
            found[node.cap.id] = None
        return tuple(found)

    def reserve(self, nodes: Iterable[Node], now_us: int) -> None:
        """Promise each a slot; all or none. Raises: CspaceFull."""
        reserved: list[Node] = []
        try:
            for node in nodes:
                self._room_for(node.cap.holder, now_us).reserve(node)
                self._tree.add(node)
                reserved.append(node)
        except OxiosError:
            self.cut(reserved)
            raise

    def activate(self, node: Node) -> None:
        """From now on it covers what it says."""
        node.state = State.LIVE
        self._spaces[node.cap.holder].activate(node)

    def restore(self, node: Node, state: State, now_us: int) -> None:
        """Put back a node that was read from the journal, after its parent. Raises: CspaceFull."""
        if state is State.DELETED:
            node.state = state
            self._tree.add(node)
            return
        self.reserve((node,), now_us)
        self.activate(node)

    def cut(self, tops: Iterable[Node]) -> list[CapId]:
        """Out of the tree and every cspace, descendants included; the ids that stood in slots."""
        gone: list[CapId] = []
        for top in list(tops):
            if top.state is not State.GONE:
                for node in self._tree.cut(top):
                    self._vacate(node)
                    gone.append(node.cap.id)
        return gone

    def bury(self, node: Node) -> None:
        """Empty its slot and leave its children."""
        self._vacate(node)
        self._tree.bury(node)

    def prune(self) -> None:
        """Let go of deleted nodes below which nothing lives."""
        for node in self._tree.deleted():
            if node.state is State.DELETED:
                self._tree.bury(node)

    def _room_for(self, holder: Principal, now_us: int) -> CSpace:
        space = self._spaces.get(holder)
        if space is not None and space.full:
            # What has expired or is used up covers nothing any more, nor does anything below it.
            self.cut(node for node in tuple(space) if node.spent(now_us))
        return self._spaces.setdefault(holder, CSpace(holder))

    def _vacate(self, node: Node) -> None:
        space = self._spaces.get(node.cap.holder)
        if space is not None:
            space.remove(node)
            if not len(space):
                del self._spaces[node.cap.holder]
