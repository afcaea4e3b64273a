"""A PostgreSQL server of the tests' own: started once a process, on a socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

_NUMBERS = count(1)
_DEADLINE_S = 60
HOW = "apt-get update && apt-get install -y postgresql"


class Server:
    """A running server; `database` makes an empty one."""

    def __init__(self, socket: Path, user: str) -> None:
        self._base = f"host={socket} user={user}"
        self._url = f"postgresql://{user}@/{{}}?host={str(socket).replace('/', '%2F')}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"journal{next(_NUMBERS)}"
        with psycopg.connect(f"{self._base} dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return self._url.format(name)

    def execute(self, url: str, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running() -> Generator[Server]:
    """A server until the block ends. Fails, naming the command to install it, where there is none."""
    folder = Path(tempfile.mkdtemp(prefix="oxios-pg-"))
    owner = _owner()
    data = folder / "data"
    try:
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        _call(owner, "initdb", "-D", str(data), "-A", "trust", "-U", "oxios", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
        _call(owner, "pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield Server(folder, "oxios")
        finally:
            _call(owner, "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> pwd.struct_passwd | None:
    """PostgreSQL refuses root: then it runs as `postgres`, or as `nobody`."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


def _program(name: str) -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))
    if found is None:
        raise FileNotFoundError(f"these tests need PostgreSQL, and {name} is not there: {HOW}")
    return found


def _call(owner: pwd.struct_passwd | None, program: str, *arguments: str) -> None:
    # pg_ctl's server inherits its outputs: they go to a file, or this call would wait for its end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [_program(program), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=_DEADLINE_S, cwd="/", check=False,
            user=None if owner is None else owner.pw_uid, group=None if owner is None else owner.pw_gid,
            extra_groups=None if owner is None else [],
        )  # fmt: skip
        output.seek(0)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {output.read().decode(errors='replace')}")
