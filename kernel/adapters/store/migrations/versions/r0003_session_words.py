"""Sessions that are pinned, forked and searched: their new columns, and the terms of every message.

Messages that stand in the journal already are taken over. The index is FTS5 in SQLite, kept by
triggers, and GIN over a column of its own in PostgreSQL: both look for terms that begin with what is
asked, and neither takes a text apart by rules of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from kernel.terms import terms_of, whose

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BATCH = 500
SQLITE_INDEX = (
    (
        "CREATE VIRTUAL TABLE message_terms USING fts5(terms, content='messages', content_rowid='seq', "
        "detail=none, columnsize=0, prefix='1 2 3 4', tokenize='ascii')"
    ),
    (
        "CREATE TRIGGER messages_said AFTER INSERT ON messages BEGIN "
        "INSERT INTO message_terms (rowid, terms) VALUES (new.seq, new.terms); END"
    ),
    (
        "CREATE TRIGGER messages_unsaid AFTER DELETE ON messages BEGIN "
        "INSERT INTO message_terms (message_terms, rowid, terms) VALUES ('delete', old.seq, old.terms); END"
    ),
    (
        "CREATE TRIGGER messages_changed AFTER UPDATE OF terms ON messages BEGIN "
        "INSERT INTO message_terms (message_terms, rowid, terms) VALUES ('delete', old.seq, old.terms); "
        "INSERT INTO message_terms (rowid, terms) VALUES (new.seq, new.terms); END"
    ),
)
POSTGRES_INDEX = (
    (
        "ALTER TABLE messages ADD COLUMN vector tsvector GENERATED ALWAYS AS "
        "(array_to_tsvector(string_to_array(coalesce(terms, ''), ' '))) STORED"
    ),
    "CREATE INDEX message_terms ON messages USING gin (vector)",
)


def upgrade() -> None:
    op.add_column("sessions", sa.Column("pinned", sa.Integer(), nullable=True, server_default=sa.text("0")))
    op.add_column("sessions", sa.Column("named", sa.BigInteger(), nullable=True))
    op.add_column("sessions", sa.Column("parent", sa.String(), nullable=True))
    op.add_column("sessions", sa.Column("parent_turn", sa.Integer(), nullable=True))
    op.create_index("sessions_owner", "sessions", ["owner", "updated_us"])
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    messages = op.create_table(
        "messages",
        sa.Column("seq", key, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("session", sa.String(), nullable=True),
        sa.Column("turn", sa.Integer(), nullable=True),
        sa.Column("role", sa.String(), nullable=True),
        sa.Column("terms", sa.String(), nullable=True),
    )
    for statement in SQLITE_INDEX if op.get_bind().dialect.name == "sqlite" else POSTGRES_INDEX:
        op.execute(statement)
    _take_over(messages)


def _take_over(messages: sa.Table) -> None:
    """What was said before this revision."""
    bind = op.get_bind()
    batch: list[dict[str, Any]] = []
    for seq, stream, kind, principal, payload in _sessions_entries():
        said = json.loads(bytes(payload))
        if kind == "session.message":
            row = {"turn": said["turn"], "role": said["role"], "text": said["text"]}
        elif said["name"]:
            row = {"turn": 0, "role": "name", "text": said["name"]}
        else:
            row = {}
        if kind != "session.message":
            bind.execute(sa.text("UPDATE sessions SET named = :seq WHERE id = :id"), {"seq": seq, "id": stream})
        if row:
            text = str(row.pop("text"))
            batch.append({"seq": seq, "session": stream, **row, "terms": " ".join((whose(principal), *terms_of(text)))})
        if len(batch) == _BATCH:
            bind.execute(messages.insert(), batch)
            batch = []
    if batch:
        bind.execute(messages.insert(), batch)


def _sessions_entries() -> Iterator[Any]:
    """Entries of sessions that say something, in order, some at a time."""
    after = 0
    query = sa.text(
        "SELECT seq, stream, kind, principal, payload FROM entries WHERE seq > :after AND payload IS NOT NULL "
        "AND kind IN ('session.created', 'session.renamed', 'session.message') ORDER BY seq LIMIT 500"
    )
    while rows := op.get_bind().execute(query, {"after": after}).fetchall():
        yield from rows
        after = rows[-1][0]
