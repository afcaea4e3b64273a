"""Bring a database to this program's tables with Alembic; imported only where that is needed.

Guarantees: it arrives whole or stays as it was, whatever breaks off in between.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from kernel.errors import JournalDown


def migrate(url: str, address: str, revision: str = "head") -> None:
    """Raises: JournalDown, where the tables are newer than this program, or the database fails."""
    config = _config()
    try:
        with _engine(url).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except CommandError as error:
        raise JournalDown(
            f"the journal in {address} has tables this program does not know: {error}",
            remedy="use the version of Oxios that wrote it, or a newer one",
        ) from error
    except SQLAlchemyError as error:
        cause = error.__cause__ or error
        raise JournalDown(
            f"could not prepare the journal in {address}: {cause}", remedy="run `oxios doctor`"
        ) from error


def _engine(url: str) -> Engine:
    """With transactions around changes of tables too, which Python's driver for SQLite leaves out."""
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin)
    return engine


def _leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def newest() -> str | None:
    """The last revision in the folder."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
