"""The first tables: the log with its tree and blobs, and the projections."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _log()
    _tree()
    _work()
    _authority()
    op.create_table("state", _key("key", sa.String()), *_texts("value"))


def _log() -> None:
    op.create_table(
        "entries",
        _key("seq", _row_id()),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("blobs", sa.LargeBinary(), nullable=True),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
    )
    op.create_index("entries_stream", "entries", ["stream", "seq"])
    op.create_table("blobs", _key("digest", sa.LargeBinary()), sa.Column("content", sa.LargeBinary(), nullable=False))


def _tree() -> None:
    op.create_table(
        "tree",
        _key("id", sa.Integer()),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
    )
    op.create_table("chunks", _key("number", _row_id()), sa.Column("root", sa.LargeBinary(), nullable=False))
    op.create_table("probe", _key("id", sa.Integer()), sa.Column("content", sa.LargeBinary(), nullable=False))


def _work() -> None:
    op.create_table(
        "runs",
        _key("id", sa.String()),
        *_texts("seed", "owner", "status", "goal", "persona", "model", "workspace"),
        *_numbers("started_us", "updated_us", "finished_us"),
        _count("turns"),
        *_texts("note"),
    )
    op.create_table(
        "seeds",
        _key("id", sa.String()),
        *_texts("parent"),
        _count("generation"),
        *_texts("goal"),
        *_numbers("created_us"),
        *_texts("digest", "source"),
    )


def _authority() -> None:
    op.create_table(
        "approvals",
        _key("id", sa.String()),
        *_texts("run", "call", "owner", "status", "choice", "question"),
        *_numbers("asked_us", "expires_us", "answered_us"),
        *_texts("answered_by", "reason"),
    )
    op.create_table(
        "capabilities",
        _key("id", sa.String()),
        *_texts("holder", "resource", "rights", "parent"),
        *_numbers("expires_us", "uses", "uses_left"),
        *_texts("origin"),
        _count("revoked"),
    )


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False, nullable=False)


def _row_id() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=True) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=True) for name in names]


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=True, server_default=sa.text("0"))
