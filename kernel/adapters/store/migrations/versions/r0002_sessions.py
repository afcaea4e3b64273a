"""Sessions: one row a conversation of many turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), primary_key=True, autoincrement=False, nullable=False),
        *_texts("name", "owner", "status", "model", "persona", "workspace"),
        sa.Column("created_us", sa.BigInteger(), nullable=True),
        sa.Column("updated_us", sa.BigInteger(), nullable=True),
        sa.Column("turns", sa.Integer(), nullable=True, server_default=sa.text("0")),
        *_texts("opening"),
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=True) for name in names]
