"""Every principal's capabilities, and the only way any of them comes, narrows or goes.

Guarantees: what is granted was durable in the journal before it covers anything; what is revoked
or deleted covers nothing from the call on, and the calls in flight that rest on it are stopped
(`on_revoked`), before the journal hears of it. Derivation never widens resource, rights, expiry or
uses. A use of a capability is also a use of each counted ancestor, so deriving multiplies nothing.
A need is covered whole by one capability; nothing is pieced together from two.

`revoke` takes the capability and every descendant (`keep=True` spares the capability itself, which
is seL4's Revoke). `delete` empties one slot: children live on, bounded and revocable by what is
left above them (seL4's Delete).

What this does not protect against: a revocation made while the journal cannot be written holds in
memory only, and is recorded as soon as the journal takes entries again; a crash before that
undoes it.

Source: RFC-0003.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from kernel.capability import record
from kernel.capability.derivation import Derivation, check_bounds, check_reach, child_of
from kernel.capability.holdings import Holdings
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Capability, Need
from kernel.capability.tree import Node, State
from kernel.clock import Clock
from kernel.errors import CapabilityRevoked, OxiosError
from kernel.ids import KERNEL, CapId, Principal, new_id
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry

OnRevoked = Callable[[tuple[CapId, ...], str], object]
_IDS_PER_ENTRY: Final = 4096  # 90 kB of the 256 kB that an entry may have


class CapabilityTable:
    """The cspaces and the tree they share, kept in step with the journal."""

    def __init__(self, journal: Appender, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._holdings = Holdings()
        self._on_revoked: list[OnRevoked] = []
        self._owed: list[Draft] = []
        """Takings that the journal has not accepted yet, in order."""

    def on_revoked(self, callback: OnRevoked) -> None:
        """Call `callback(ids, reason)` at once whenever capabilities stop being held."""
        self._on_revoked.append(callback)

    async def load(self) -> int:
        """Read back what the journal says is held; how many. Raises: Invalid, CspaceFull."""
        self._holdings = await record.load(self._journal, self._clock.now_us())
        return len(self._holdings)

    # Reading

    def cover(self, holder: Principal, needs: Iterable[Need]) -> tuple[CapId, ...] | Need:
        """The capabilities that cover every need, or the first need that none covers."""
        return self._holdings.cover(holder, needs, self._clock.now_us())

    def usable(self, caps: Iterable[CapId]) -> bool:
        """True where each could cover a call now."""
        now = self._clock.now_us()
        return all((node := self._holdings.get(cap)) is not None and node.usable(now) for cap in caps)

    def counted(self, caps: Iterable[CapId]) -> bool:
        """True where a use of these has to be recorded by `consume`."""
        return any((node := self._holdings.get(cap)) is not None and node.counted for cap in caps)

    def get(self, cap: CapId) -> Capability:
        """Raises: NotFound, unless it stands in a slot and is not spent."""
        return self._holdings.live(cap, self._clock.now_us()).cap

    def uses_left(self, cap: CapId) -> int | None:
        """Of it and of what bounds it from above; None is unbounded. Raises: NotFound."""
        return self._holdings.node(cap).uses_left

    def held(self, holder: Principal) -> tuple[Capability, ...]:
        """What `holder` could use now, oldest first."""
        now = self._clock.now_us()
        return tuple(node.cap for node in self._holdings.slots(holder) if node.usable(now))

    def holders(self) -> tuple[Principal, ...]:
        return self._holdings.holders()

    def descendants(self, cap: CapId) -> tuple[Capability, ...]:
        """Everything derived from it that stands in a slot, parents first. Raises: NotFound."""
        top = self._holdings.node(cap)
        return tuple(node.cap for node in top.subtree() if node.state is State.LIVE and node is not top)

    def delegable(self, holder: Principal, resource: Resource) -> tuple[tuple[Capability, Resource], ...]:
        """What `holder` may pass on of `resource`: each capability with its part of the resource."""
        passed = ((cap, cap.resource.meet(resource)) for cap in self.held(holder) if cap.rights & Rights.DELEGATE)
        return tuple((cap, part) for cap, part in passed if part is not None)

    # Granting

    async def mint(
        self,
        holder: Principal,
        resource: Resource,
        rights: Rights,
        *,
        expires_us: int | None = None,
        uses: int | None = None,
        origin: str,
    ) -> Capability:
        """New authority, from nothing: the kernel's own act, at boot. Raises: as `mint_all`."""
        return (await self.mint_all(holder, [(resource, rights)], expires_us=expires_us, uses=uses, origin=origin))[0]

    async def mint_all(
        self,
        holder: Principal,
        items: Iterable[tuple[Resource, Rights]],
        *,
        expires_us: int | None = None,
        uses: int | None = None,
        origin: str,
    ) -> tuple[Capability, ...]:
        """Several at the cost of one journal entry; all or none.

        Raises: Invalid (a resource that cannot be recorded), LimitExceeded (no use, or expired
        already), CspaceFull, JournalDown.
        """
        check_bounds(expires_us, uses, self._clock.now_us())
        caps = [
            Capability(self._new_id(), holder, record.recordable(resource), rights, None, expires_us, uses, origin)
            for resource, rights in items
        ]
        return await self._grant([Node(cap, None, uses) for cap in caps], record.MINTED, KERNEL)

    async def derive(
        self,
        parent: CapId,
        to: Principal,
        resource: Resource,
        rights: Rights,
        *,
        by: Principal,
        expires_us: int | None = None,
        uses: int | None = None,
        origin: str,
    ) -> Capability:
        """A narrowed child of `parent` in `to`'s cspace. Raises: as `derive_all`."""
        wanted = Derivation(parent, to, resource, rights, expires_us, uses)
        return (await self.derive_all([wanted], by=by, origin=origin))[0]

    async def copy(self, cap: CapId, to: Principal, *, by: Principal, origin: str) -> Capability:
        """The same authority in another cspace, as a child of the original. Raises: as `derive_all`."""
        original = self.get(cap)
        return await self.derive(cap, to, original.resource, original.rights, by=by, origin=origin)

    async def derive_all(self, wanted: Sequence[Derivation], *, by: Principal, origin: str) -> tuple[Capability, ...]:
        """Several children at the cost of one journal entry; all or none.

        Raises: NotFound (no such parent), AccessDenied (`by` does not hold it, it lacks DELEGATE
        where `to` is another, or the child would be wider), LimitExceeded (DERIVE_DEPTH_MAX, no
        use, expired already), CspaceFull, Invalid (a resource that cannot be recorded), JournalDown,
        CapabilityRevoked (the parent went while the journal wrote).
        """
        now = self._clock.now_us()
        nodes = [
            child_of(self._holdings.live(each.parent, now), each, self._new_id(), by=by, origin=origin, now_us=now)
            for each in wanted
        ]
        return await self._grant(nodes, record.DERIVED, by)

    async def _grant(self, nodes: Sequence[Node], kind: str, by: Principal) -> tuple[Capability, ...]:
        if not nodes:
            return ()
        caps = tuple(node.cap for node in nodes)
        self._holdings.reserve(nodes, self._clock.now_us())
        try:
            self._send_owed()
            await self._journal.append(Draft(by, SYSTEM_STREAM, kind, record.granted_payload(caps, by)))
        except OxiosError:
            self._holdings.cut(nodes)
            raise
        except BaseException:
            # Cancelled while it waited: the entry may come to stand, so what it grants is taken back.
            self._take(nodes, by, "the grant was cancelled")
            raise
        if any(node.state is not State.PENDING for node in nodes):
            self._take(nodes, by, "granted together with one that was revoked")
            raise CapabilityRevoked(
                "what this was derived from was revoked meanwhile", remedy="ask its holder for a new capability"
            )
        for node in nodes:
            self._holdings.activate(node)
        return caps

    # Taking back

    async def revoke(
        self, cap: CapId, *, by: Principal, keep: bool = False, reason: str = "revoked"
    ) -> tuple[CapId, ...]:
        """Take it and all its descendants out of every cspace; with `keep`, the descendants only.

        Raises: NotFound, AccessDenied (`by` holds neither it nor one above it), JournalDown (it is
        revoked; the record follows when the journal takes entries again).
        """
        node = self._holdings.node(cap)
        check_reach(node, by, "revoke")
        gone = self._take(node.children.values() if keep else (node,), by, reason, send=False)
        await self._settle()
        return gone

    async def delete(self, cap: CapId, *, by: Principal) -> None:
        """Empty one slot; what was derived from it lives on, under what is left above.

        Raises: as `revoke`.
        """
        node = self._holdings.live(cap, self._clock.now_us())
        check_reach(node, by, "delete")
        self._holdings.bury(node)
        self._tell((cap,), "deleted")
        self._owed.append(
            Draft(by, SYSTEM_STREAM, record.DELETED, {"by": by, "capability": cap, "children": len(node.children)})
        )
        await self._settle()

    def drop(self, holder: Principal, reason: str = "its holder ended", *, origin: str = "") -> tuple[CapId, ...]:
        """Revoke all that `holder` has, descendants included: a run has ended, a user was removed.

        With `origin`, only what has an origin that begins so. At once in memory; the record rides the
        journal's next commit.
        """
        slots = [node for node in self._holdings.slots(holder) if node.cap.origin.startswith(origin)]
        return self._take(slots, KERNEL, reason)

    async def consume(self, caps: Iterable[CapId], *, by: Principal) -> None:
        """Take one use from each, and from each counted ancestor; durable when it returns.

        Raises: CapabilityRevoked, where one has no use left or is gone: then nothing is taken.
        JournalDown: what was taken is given back.
        """
        now = self._clock.now_us()
        nodes = [self._holdings.get(cap) for cap in caps]
        if any(node is None or not node.usable(now) for node in nodes):
            raise CapabilityRevoked(
                "a capability that this call rests on has no use left or is gone", remedy="ask its holder for a new one"
            )
        counted = {each.cap.id: each for node in nodes if node is not None for each in node.counted}
        if not counted:
            return
        for node in counted.values():
            node.left = (node.left or 0) - 1
        left: dict[str, int | None] = {cap: node.left for cap, node in counted.items()}
        try:
            self._send_owed()
            await self._journal.append(Draft(by, SYSTEM_STREAM, record.USED, {"by": by, "left": left}))
        except OxiosError:
            for node in counted.values():
                node.left = (node.left or 0) + 1
            raise

    def _take(self, tops: Iterable[Node], by: Principal, reason: str, *, send: bool = True) -> tuple[CapId, ...]:
        gone = tuple(self._holdings.cut(tops))
        self._tell(gone, reason)
        for start in range(0, len(gone), _IDS_PER_ENTRY):
            payload = {"by": by, "capabilities": gone[start : start + _IDS_PER_ENTRY], "reason": reason}
            self._owed.append(Draft(by, SYSTEM_STREAM, record.REVOKED, payload))
        if send:
            try:
                self._send_owed()
            except OxiosError:
                return gone  # still owed: sent before the next grant, use or taking
        return gone

    def _tell(self, gone: tuple[CapId, ...], reason: str) -> None:
        if gone:
            for callback in self._on_revoked:
                callback(gone, reason)

    # The journal

    def _send_owed(self) -> Awaitable[Entry] | None:
        """Queue what is owed, in order. Raises: OxiosError; the rest is still owed then."""
        last: Awaitable[Entry] | None = None
        while self._owed:
            last = self._journal.append(self._owed[0])
            del self._owed[0]
        return last

    async def _settle(self) -> None:
        """Make what is owed durable. Raises: OxiosError; it is owed again then."""
        sent = list(self._owed)
        last = self._send_owed()
        if last is None:
            return
        try:
            await last
        except OxiosError:
            # Saying twice that something is gone changes nothing, so all of it is sent again.
            self._owed[:0] = sent
            raise

    def _new_id(self) -> CapId:
        while True:
            cap = CapId(new_id("c", self._clock.now_us()))
            if cap not in self._holdings:
                return cap
