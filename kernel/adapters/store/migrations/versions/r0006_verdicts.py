"""Runs say how they were judged: lists show it without reading each run."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("verdict", sa.String(), nullable=True))
    bind, after = op.get_bind(), 0
    query = sa.text(
        "SELECT seq, stream, payload FROM entries WHERE seq > :after AND payload IS NOT NULL "
        "AND kind = 'review.verdict' ORDER BY seq LIMIT 500"
    )
    while rows := bind.execute(query, {"after": after}).fetchall():
        for _, stream, payload in rows:
            passed = json.loads(bytes(payload)).get("passed")
            word = "undecided" if passed is None else "passed" if passed else "failed"
            bind.execute(sa.text("UPDATE runs SET verdict = :word WHERE id = :id"), {"word": word, "id": stream})
        after = rows[-1][0]
