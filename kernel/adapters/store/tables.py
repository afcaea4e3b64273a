"""Every table, declared once. Migrations and `schema.sql` are tested against these declarations.

Importing this module imports SQLModel (0.3 s, 50 MB): only migrations and tests do; the hot path
speaks SQL. A table is named by its class, in lower case. Columns of projections may be empty, so a
projector can fill a row in several steps.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, text
from sqlmodel import Field, SQLModel

_SEQ = BigInteger().with_variant(Integer, "sqlite")  # SQLite's row id must be declared INTEGER.
_ZERO = {"server_default": text("0")}


class Entries(SQLModel, table=True):
    """The log itself. `payload` is the only column that may lose its content."""

    __table_args__ = (Index("entries_stream", "stream", "seq"),)

    seq: int = Field(primary_key=True, sa_type=_SEQ, sa_column_kwargs={"autoincrement": False})
    time_us: int = Field(sa_type=BigInteger)
    principal: str
    stream: str
    kind: str
    digest: bytes = Field(sa_type=LargeBinary)
    blobs: bytes | None = Field(sa_type=LargeBinary)
    leaf: bytes = Field(sa_type=LargeBinary)
    payload: bytes | None = Field(sa_type=LargeBinary)


class Blobs(SQLModel, table=True):
    """Contents by SHA-256 digest."""

    digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    content: bytes = Field(sa_type=LargeBinary)


class Tree(SQLModel, table=True):
    """One row: where the log stands, signed."""

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    size: int = Field(sa_type=BigInteger)
    time_us: int = Field(sa_type=BigInteger)
    peaks: bytes = Field(sa_type=LargeBinary)
    note: str


class Chunks(SQLModel, table=True):
    """Roots of the subtrees of 256 leaves, so that a proof reads few rows."""

    number: int = Field(primary_key=True, sa_type=_SEQ, sa_column_kwargs={"autoincrement": False})
    root: bytes = Field(sa_type=LargeBinary)


class Probe(SQLModel, table=True):
    """Where a journal that failed tries whether it can write again; empty otherwise."""

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    content: bytes = Field(sa_type=LargeBinary)


class Runs(SQLModel, table=True):
    """Projection: one row a run."""

    __table_args__ = (Index("runs_seed", "seed", "started_us"),)

    id: str = Field(primary_key=True)
    seed: str | None
    owner: str | None
    status: str | None
    goal: str | None
    persona: str | None
    model: str | None
    workspace: str | None
    started_us: int | None = Field(sa_type=BigInteger)
    updated_us: int | None = Field(sa_type=BigInteger)
    finished_us: int | None = Field(sa_type=BigInteger)
    turns: int | None = Field(sa_column_kwargs=_ZERO)
    note: str | None
    verdict: str | None


class Seeds(SQLModel, table=True):
    """Projection: one row a seed."""

    id: str = Field(primary_key=True)
    parent: str | None
    generation: int | None = Field(sa_column_kwargs=_ZERO)
    goal: str | None
    created_us: int | None = Field(sa_type=BigInteger)
    digest: str | None
    source: str | None


class Approvals(SQLModel, table=True):
    """Projection: one row a question to a person."""

    id: str = Field(primary_key=True)
    run: str | None
    call: str | None
    owner: str | None
    status: str | None
    choice: str | None
    question: str | None
    asked_us: int | None = Field(sa_type=BigInteger)
    expires_us: int | None = Field(sa_type=BigInteger)
    answered_us: int | None = Field(sa_type=BigInteger)
    answered_by: str | None
    reason: str | None


class Capabilities(SQLModel, table=True):
    """Projection: one row a capability that was ever held."""

    id: str = Field(primary_key=True)
    holder: str | None
    resource: str | None
    rights: str | None
    parent: str | None
    expires_us: int | None = Field(sa_type=BigInteger)
    uses: int | None = Field(sa_type=BigInteger)
    uses_left: int | None = Field(sa_type=BigInteger)
    origin: str | None
    revoked: int | None = Field(sa_column_kwargs=_ZERO)


class Sessions(SQLModel, table=True):
    """Projection: one row a conversation of many turns. `named` is the entry that gave the name."""

    __table_args__ = (Index("sessions_owner", "owner", "updated_us"),)

    id: str = Field(primary_key=True)
    name: str | None
    owner: str | None
    status: str | None
    model: str | None
    persona: str | None
    workspace: str | None
    created_us: int | None = Field(sa_type=BigInteger)
    updated_us: int | None = Field(sa_type=BigInteger)
    turns: int | None = Field(sa_column_kwargs=_ZERO)
    opening: str | None
    pinned: int | None = Field(sa_column_kwargs=_ZERO)
    named: int | None = Field(sa_type=BigInteger)
    parent: str | None
    parent_turn: int | None


class Messages(SQLModel, table=True):
    """Projection: one row a message or name, with the terms that it is found by.

    The index over `terms` is each database's own: see the revision that made it.
    """

    seq: int = Field(primary_key=True, sa_type=_SEQ, sa_column_kwargs={"autoincrement": False})
    session: str | None
    turn: int | None
    role: str | None
    terms: str | None


class Users(SQLModel, table=True):
    """Projection: one row a person who works with this Oxios, or did."""

    name: str = Field(primary_key=True)
    role: str | None
    workspace: str | None
    created_us: int | None = Field(sa_type=BigInteger)
    created_by: str | None
    changed_us: int | None = Field(sa_type=BigInteger)
    removed_us: int | None = Field(sa_type=BigInteger)


class Tokens(SQLModel, table=True):
    """Projection: one row an API token, by its digest."""

    id: str = Field(primary_key=True)
    owner: str | None
    name: str | None
    scopes: str | None
    digest: str | None
    created_us: int | None = Field(sa_type=BigInteger)
    created_by: str | None
    expires_us: int | None = Field(sa_type=BigInteger)
    revoked_us: int | None = Field(sa_type=BigInteger)


class State(SQLModel, table=True):
    """Projection: small settings of the running system."""

    key: str = Field(primary_key=True)
    value: str | None


METADATA = SQLModel.metadata
