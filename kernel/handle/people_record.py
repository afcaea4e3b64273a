"""Users and tokens in the journal: what a row of each says, and the entries that make it.

Guarantees: the tables `users` and `tokens` are the fold of user.created, user.changed, user.removed,
token.created and token.revoked. A time of 0 is: not.

Source: RFC-0016.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

from kernel.ids import Principal, user
from kernel.journal.entry import Entry
from kernel.journal.projection import Projector, Scalar, Upsert
from kernel.jsontypes import JsonObject

Role: TypeAlias = Literal["user", "viewer"]
Scope: TypeAlias = Literal["read", "run", "approve", "admin"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Person:
    """A user; `removed_us` is 0 while they are one."""

    name: str
    role: Role
    workspace: str
    created_us: int
    created_by: str
    removed_us: int = 0

    @property
    def principal(self) -> Principal:
        return user(self.name)

    def json(self) -> JsonObject:
        return {
            "name": self.name,
            "principal": self.principal,
            "role": self.role,
            "workspace": self.workspace,
            "created_us": self.created_us,
            "created_by": self.created_by,
        }


@dataclass(frozen=True, slots=True)
class Token:
    """What a program signs in with; `digest` is the SHA-256 of its text. `expires_us` 0 is never."""

    id: str
    owner: Principal
    name: str
    scopes: frozenset[str]
    digest: str
    created_us: int
    created_by: str
    expires_us: int = 0
    revoked_us: int = 0

    def json(self) -> JsonObject:
        return {
            "id": self.id,
            "owner": self.owner,
            "name": self.name,
            "scopes": [scope for scope in SCOPES if scope in self.scopes],
            "created_us": self.created_us,
            "created_by": self.created_by,
            "expires_us": self.expires_us,
        }


def person_of(row: Mapping[str, Scalar]) -> Person:
    return Person(
        name=str(row["name"]),
        role=cast("Role", row["role"]),
        workspace=str(row["workspace"] or ""),
        created_us=int(row["created_us"] or 0),
        created_by=str(row["created_by"] or ""),
        removed_us=int(row["removed_us"] or 0),
    )


def token_of(row: Mapping[str, Scalar]) -> Token:
    return Token(
        id=str(row["id"]),
        owner=Principal(str(row["owner"])),
        name=str(row["name"]),
        scopes=frozenset(str(row["scopes"]).split()),
        digest=str(row["digest"]),
        created_us=int(row["created_us"] or 0),
        created_by=str(row["created_by"] or ""),
        expires_us=int(row["expires_us"] or 0),
    )


def _project_created(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        said = cast("dict[str, str]", entry.payload)
        values: dict[str, Scalar] = {"role": said["role"], "workspace": said["workspace"], "created_by": said["by"]}
        yield Upsert(
            "users",
            {"name": said["name"]},
            {**values, "created_us": entry.time_us, "changed_us": None, "removed_us": 0},
        )


def _project_changed(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        said = cast("dict[str, str]", entry.payload)
        values: dict[str, Scalar] = {"role": said["role"], "workspace": said["workspace"]}
        yield Upsert("users", {"name": said["name"]}, {**values, "changed_us": entry.time_us})


def _project_removed(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield Upsert("users", {"name": str(entry.payload["name"])}, {"removed_us": entry.time_us})


def _project_token(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        said = cast("dict[str, Scalar]", entry.payload)
        scopes = " ".join(cast("list[str]", entry.payload["scopes"]))
        same = ("owner", "name", "digest", "created_us", "created_by", "expires_us")
        values = {name: said[name] for name in same}
        yield Upsert("tokens", {"id": said["id"]}, {**values, "scopes": scopes, "revoked_us": 0})


def _project_revoked(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield Upsert("tokens", {"id": str(entry.payload["id"])}, {"revoked_us": entry.time_us})


PROJECTORS: Final[dict[str, Projector]] = {
    "user.created": _project_created,
    "user.changed": _project_changed,
    "user.removed": _project_removed,
    "token.created": _project_token,
    "token.revoked": _project_revoked,
}
