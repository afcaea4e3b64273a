"""What a person of a role holds: derived from the operator's, and all of it theirs to take back.

Guarantees: a user's files are those of the user's own workspace, and nothing of the kernel's own is
theirs but their runs, approvals and password; a viewer holds no right but READ, and to set a password.
What was given for a role is told apart from what a person was granted by hand, so a change of role
takes exactly the former.

Source: RFC-0016.
"""

from __future__ import annotations

from typing import Final

from kernel.capability.grants import Item, derivations
from kernel.capability.resource import REST, Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability
from kernel.errors import AccessDenied
from kernel.ids import Principal

ORIGIN: Final = "role "
"""How the origin of what was given for a role begins."""

_USER: Final = (
    ("exec:**", "rxd"),
    ("net:*:443", "rxd"),
    ("net:*:80", "rxd"),
    ("search:*", "rxd"),
    ("model:**", "rxd"),
    ("ask:user", "rxd"),
    ("persona:*", "rd"),
    ("approve:**", "xd"),
    ("kernel:runs", "rwx"),
    ("kernel:approvals", "rw"),
    ("kernel:undo", "w"),
    ("kernel:self", "rw"),
)
_VIEWER: Final = (("kernel:*", "r"), ("kernel:self", "w"), ("persona:*", "r"))


async def derive_role(
    table: CapabilityTable, role: str, *, to: Principal, by: Principal, workspace: str = ""
) -> tuple[Capability, ...]:
    """Give `to` what its role starts with, in one journal entry; of the role `user` it may be passed on.

    Raises: AccessDenied (`by` may not pass it on), and what `CapabilityTable.derive_all` raises.
    """
    said = _USER if role == "user" else _VIEWER
    items: list[Item] = [(Resource.parse(text), Rights.parse(rights)) for text, rights in said]
    if role == "user":
        place = Resource.target("file", workspace)
        items.append((Resource("file", (*place.segments, REST)), Rights.READ | Rights.WRITE | Rights.DELEGATE))
    wanted = derivations(table, by, to, items)
    if not wanted:
        raise AccessDenied(
            f"{by} holds nothing of the role {role} that it may pass on",
            layer="capability",
            remedy="`oxios caps list` shows what is held, and d among the rights what may be passed on",
        )
    return await table.derive_all(wanted, by=by, origin=f"{ORIGIN}{role}")
