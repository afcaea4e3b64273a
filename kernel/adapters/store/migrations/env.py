"""Run by Alembic: brings the connection that `migrate` passes to the wanted revision."""

from __future__ import annotations

from typing import cast

from alembic import context
from sqlalchemy import Connection

from kernel.adapters.store.tables import METADATA

connection = cast("Connection", context.config.attributes["connection"])
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
