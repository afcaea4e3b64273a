"""Users and API tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        _key("name"),
        *_texts("role", "workspace"),
        _time("created_us"),
        *_texts("created_by"),
        _time("changed_us"),
        _time("removed_us"),
    )
    op.create_table(
        "tokens",
        _key("id"),
        *_texts("owner", "name", "scopes", "digest"),
        _time("created_us"),
        *_texts("created_by"),
        _time("expires_us"),
        _time("revoked_us"),
    )


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), primary_key=True, autoincrement=False, nullable=False)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=True) for name in names]


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=True)
