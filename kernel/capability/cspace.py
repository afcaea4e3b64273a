"""One principal's bounded slots of capabilities, indexed so that a check does not read them all.

Guarantees: at most CSPACE_SLOTS_MAX slots, those promised to a grant that is being journalled
included. `find` costs one step a segment of the target, however many capabilities are held: the
patterns of a kind stand in a tree of segments (with 200 file capabilities, comparing each would
cost 150 µs).

Source: RFC-0003.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kernel.capability.resource import ANY, REST, Kind, Resource
from kernel.capability.tree import Node
from kernel.errors import CspaceFull
from kernel.ids import CapId, Principal
from kernel.limits import CSPACE_SLOTS_MAX


class CSpace:
    """The slots of `holder`."""

    def __init__(self, holder: Principal) -> None:
        self.holder = holder
        self._slots: dict[CapId, Node] = {}
        self._index: dict[Kind, _Step] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Node]:
        """In the order they were placed."""
        return iter(self._slots.values())

    @property
    def full(self) -> bool:
        return len(self._slots) >= CSPACE_SLOTS_MAX

    def reserve(self, node: Node) -> None:
        """Promise a slot; the capability covers nothing until `activate`. Raises: CspaceFull."""
        if self.full:
            raise CspaceFull(
                f"{self.holder} already holds {CSPACE_SLOTS_MAX} capabilities",
                remedy="delete some, or grant one with a wider pattern instead of many",
            )
        self._slots[node.cap.id] = node

    def activate(self, node: Node) -> None:
        resource = node.cap.resource
        step = self._index.get(resource.kind)
        if step is None:
            step = self._index[resource.kind] = _Step()
        step.place(resource.segments, node)

    def remove(self, node: Node) -> None:
        """Empty the slot, active or only reserved."""
        self._slots.pop(node.cap.id, None)
        step = self._index.get(node.cap.resource.kind)
        if step is not None:
            step.displace(node.cap.resource.segments, node)

    def find(self, target: Resource, mask: int, now_us: int) -> Node | None:
        """A usable capability that covers `target` with all rights of `mask`; one without a use
        count where there is such a one, so that counts are not spent in vain.
        """
        step = self._index.get(target.kind)
        if step is None:
            return None
        counted: Node | None = None
        for node in self._containing(step, target):
            if node.mask & mask != mask or not node.usable(now_us):
                continue
            if node.port not in (ANY, target.port):
                continue
            if not node.counted:
                return node
            counted = counted or node
        return counted

    def _containing(self, step: _Step, target: Resource) -> Iterable[Node]:
        if target.literal:
            return step.matches(target.segments)
        if target.is_tree:
            return step.matches(target.segments[:-1], whole_tree=True)
        return self.within(target)

    def within(self, wanted: Resource) -> Iterator[Node]:
        """Capabilities whose pattern contains the pattern `wanted`; reads them all."""
        return (node for node in self if wanted.within(node.cap.resource))


class _Step:
    """One segment's position in the patterns of a kind."""

    __slots__ = ("any", "here", "names", "rest")

    def __init__(self) -> None:
        self.names: dict[str, _Step] = {}
        self.any: _Step | None = None
        self.rest: list[Node] = []
        """Capabilities whose pattern says `**` here."""
        self.here: list[Node] = []
        """Capabilities whose pattern ends here."""

    def place(self, segments: tuple[str, ...], node: Node) -> None:
        step = self
        for segment in segments:
            if segment == REST:
                step.rest.append(node)
                return
            step = step._down(segment)
        step.here.append(node)

    def _down(self, segment: str) -> _Step:
        if segment == ANY:
            if self.any is None:
                self.any = _Step()
            return self.any
        below = self.names.get(segment)
        if below is None:
            below = self.names[segment] = _Step()
        return below

    def displace(self, segments: tuple[str, ...], node: Node) -> None:
        """Take the node out, and the steps that nothing needs any more."""
        if not segments or segments[0] == REST:
            stands = self.rest if segments else self.here
            if node in stands:
                stands.remove(node)
            return
        below = self.any if segments[0] == ANY else self.names.get(segments[0])
        if below is None:
            return
        below.displace(segments[1:], node)
        if below.empty:
            if below is self.any:
                self.any = None
            else:
                del self.names[segments[0]]

    @property
    def empty(self) -> bool:
        return not (self.names or self.any or self.rest or self.here)

    def matches(self, names: tuple[str, ...], *, whole_tree: bool = False) -> list[Node]:
        """Every capability whose pattern contains the place with these names (its port apart);
        with `whole_tree`, the place and everything below it.
        """
        found: list[Node] = list(self.rest)
        steps = [self]
        for name in names:
            below: list[_Step] = []
            for step in steps:
                named = step.names.get(name)
                if named is not None:
                    below.append(named)
                    found += named.rest
                if step.any is not None:
                    below.append(step.any)
                    found += step.any.rest
            if not below:
                return found
            steps = below
        if not whole_tree:
            for step in steps:
                found += step.here
        return found
