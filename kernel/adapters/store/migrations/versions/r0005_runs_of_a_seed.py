"""Runs are found by their seed, in order, without reading all of them."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("runs_seed", "runs", ["seed", "started_us"])
