"""One user's side of the kernel, for one request.

Guarantees: what is read here is what the user may see: everything, for who holds `kernel:audit` READ;
else the user's own. What may not be seen is *not found*, so that ids tell nothing. What is done here
is a syscall of the user's principal and passes the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from litestar.exceptions import NotAuthorizedException

from kernel.boot import Kernel
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.errors import NotFound
from kernel.handle.handle import KernelHandle
from kernel.ids import RunId
from kernel.journal.projection import Scalar
from kernel.jsontypes import JsonValue
from kernel.ports.store import Filter
from kernel.runtime.state import RunState
from kernel.syscalls.declare import ToolResult
from ouroboros.session import Session
from ouroboros.sessionglance import Glance, glance, glance_of
from webui.house import House
from webui.stream import Seeing
from webui.user import User

_AUDIT: Final = Need(Resource.target("kernel", "audit"), Rights.READ)
_OWNER: Final = {"runs": "owner", "sessions": "owner", "approvals": "owner", "capabilities": "holder"}
"""The column that says whose a row is. Rows of other tables are seen by who sees everything."""


class Desk:
    """No dataclass: Litestar would walk through the whole kernel's types to check it.

    `part` says that htmx asks for a part of a page, not for the frame around it; `packs`, that the browser
    takes the answer compressed.
    """

    def __init__(
        self,
        house: House,
        signed_in: User | None,
        *,
        part: bool = False,
        csrf: str = "",
        path: str = "",
        packs: bool = False,
    ) -> None:
        self.house = house
        self.signed_in = signed_in
        self.part = part
        self.csrf = csrf
        self.path = path
        self.seq = house.hub.seq
        """The newest entry when the request came: what is drawn for it has all up to there."""
        self.packs = packs

    @property
    def user(self) -> User:
        """Raises: NotAuthorizedException, for a request that belongs to nobody."""
        if self.signed_in is None:
            raise NotAuthorizedException
        return self.signed_in

    @property
    def kernel(self) -> Kernel:
        return self.house.kernel

    @property
    def handle(self) -> KernelHandle:
        return self.kernel.handle(self.user.principal)

    @property
    def sees_all(self) -> bool:
        return not isinstance(self.kernel.capabilities.cover(self.user.principal, [_AUDIT]), Need)

    def sees(self, stream: str) -> bool:
        """Whether a journal stream may be seen."""
        return self.sees_all or self.house.hub.owner(stream) == self.user.principal

    @property
    def seeing(self) -> Seeing:
        """The same, for who asks again and again."""
        return Seeing(self.house.hub, self.user.principal, lambda: self.sees_all, self.kernel.clock.monotonic_s)

    def may(self, resource: str, right: str) -> bool:
        """Whether the user holds a capability for it: what pages offer; the gate decides anew on the act.

        `resource` as in `kernel:caps`, `right` as in `w`.
        """
        need = Need(Resource.parse(resource), Rights.parse(right))
        return not isinstance(self.kernel.capabilities.cover(self.user.principal, [need]), Need)

    async def call(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> ToolResult:
        """A syscall as the user. Raises: AccessDenied, Invalid, whatever it raises."""
        return await self.handle.call(name, arguments)

    async def rows(
        self,
        table: str,
        where: Filter | None = None,
        *,
        order: str = "",
        descending: bool = False,
        limit: int = 100,
        after: tuple[Scalar, Scalar] | None = None,
    ) -> list[dict[str, Scalar]]:
        """Rows of a projection that the user may see, those after the row at `after` (order column, id).

        Raises: NotFound, for a table that is not the user's to see.
        """
        seen = dict(where or {})
        if not self.sees_all:
            column = _OWNER.get(table)
            if column is None:
                raise NotFound(f"there is nothing of {table} to see", remedy="ask the operator")
            seen[column] = self.user.principal
        return await self.kernel.journal.rows(table, seen, order=order, descending=descending, limit=limit, after=after)

    async def run(self, run: str) -> RunState:
        """Raises: NotFound."""
        if not self.sees(run):
            raise NotFound(f"there is no run {run!r}", remedy="the page of runs lists them")
        return await self.kernel.runs.state(RunId(run))

    async def session(self, session: str) -> Session:
        """The user's own, as the conversation holds it while it is open. Raises: NotFound."""
        self._require_own(session)
        return (await self.house.conversations.open(session)).session

    async def glance(self, session: str) -> Glance:
        """How a session of the user's own stands: of a long one that is not open, the newest turn. Raises: NotFound."""
        self._require_own(session)
        open_now = self.house.conversations.session(session)
        return glance_of(open_now) if open_now is not None else await glance(self.kernel.journal, RunId(session))

    def _require_own(self, session: str) -> None:
        open_now = self.house.conversations.session(session)
        owner = open_now.owner if open_now is not None else self.house.hub.owner(session)
        if owner != self.user.principal:
            raise NotFound(f"there is no session {session!r}", remedy="the list of sessions shows them")
