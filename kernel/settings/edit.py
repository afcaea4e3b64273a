"""Editing the home's config.toml: single values or the whole text, comments and order kept, all or nothing.

Guarantees: the edited file was checked with every other layer before it replaces the old one
(temporary file of mode 0600, fsync, rename, fsync of the folder), so after a refusal or a crash the
file is as it was. A file that another process changed meanwhile is not overwritten.
Does not keep two editors from taking turns: the last of two good edits of one key wins.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernel.errors import Conflict, Invalid, NotFound, Unavailable
from kernel.settings.kinds import NONE_WORD, Value, Wrong
from kernel.settings.load import CONFIG_NAME, REMEDY, Resolved, is_table, path_of, resolve, spec_of, unknown
from kernel.settings.source import SettingsInvalid, from_text


def set_value(home: Path, key: str, text: str, env: Mapping[str, str]) -> tuple[Value, Value]:
    """Write `key = text` into the home's file; returns the value before (in that file) and after.

    Raises: SettingsInvalid (unknown key, bad value, or one that contradicts another), Conflict, Unavailable.
    """
    path = path_of(key)
    written, value = _parsed(path, key, text)

    def put(table: Any) -> Value:
        before = table.get(path[-1])
        table[path[-1]] = written
        return before.unwrap() if hasattr(before, "unwrap") else before

    return _edit(home, path, put, env, create=True), value


def unset_value(home: Path, key: str, env: Mapping[str, str]) -> Value:
    """Remove `key` from the home's file; returns what it was.

    Raises: NotFound (it is not set there), SettingsInvalid (what remains is wrong), Conflict, Unavailable.
    """
    path = path_of(key)

    def take(table: Any) -> Value:
        if path[-1] not in table:
            raise _not_set(path, home / CONFIG_NAME)
        before = table.pop(path[-1])
        return before.unwrap() if hasattr(before, "unwrap") else before

    return _edit(home, path, take, env, create=False)


def text_of(home: Path) -> bytes:
    """The home's file as it is; empty where there is none. Raises: Unavailable."""
    try:
        return (home / CONFIG_NAME).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Unavailable(f"{home / CONFIG_NAME} cannot be read: {error.strerror}", remedy="oxios doctor") from error


def edited(old: bytes, changes: Mapping[str, str | None], place: str) -> bytes:
    """The text `old` with each key set to a text, as `set_value` reads it, or removed (None).

    Raises: SettingsInvalid, with a line for each key that is unknown or each value that is wrong.
    """
    import tomlkit  # noqa: PLC0415 -- 25 ms, for edits only

    from_text(old, place, "user")
    document: Any = tomlkit.parse(old.decode())
    problems: list[str] = []
    for key, text in changes.items():
        try:
            _put_into(document, key, text, place)
        except SettingsInvalid as wrong:
            problems += wrong.problems
    if problems:
        raise SettingsInvalid(tuple(problems), remedy=REMEDY)
    return tomlkit.dumps(document).encode()


def check_text(home: Path, new: bytes, env: Mapping[str, str]) -> Resolved:
    """What would be in force with `new` as the home's file. Raises: SettingsInvalid, a line for each problem."""
    assignments = from_text(new, str(home / CONFIG_NAME), "user")
    return resolve(env=env, home=home, project=False, user_assignments=assignments)


def replace_text(home: Path, old: bytes, new: bytes) -> None:
    """Put `new` in place of `old`. Raises: Conflict (the file is another one by now), Unavailable."""
    file = home / CONFIG_NAME
    try:
        replace_file(file, old, new)
    except OSError as error:
        raise Unavailable(
            f"{file} cannot be written: {error.strerror}; it is as it was",
            remedy="check the home's owner, modes and free space: oxios doctor",
        ) from error


def _put_into(document: Any, key: str, text: str | None, place: str) -> None:
    path = path_of(key)
    if text is None:
        table = _table_of(document, path, place, create=False)
        if table is not None:
            table.pop(path[-1], None)
        return
    written, _ = _parsed(path, key, text)
    _table_of(document, path, place, create=True)[path[-1]] = written


def _parsed(path: tuple[str, ...], key: str, text: str) -> tuple[object, Value]:
    """The value as TOML has it, and as the tree has it. Raises: SettingsInvalid."""
    spec = spec_of(path)
    if spec is None:
        raise SettingsInvalid((f"{key}: {_why_not(path)}",), remedy=REMEDY)
    try:
        value = spec.kind.read_text(text)
    except Wrong as wrong:
        raise SettingsInvalid((f"{key}: {wrong.what}; allowed: {spec.kind.allowed}",), remedy=REMEDY) from wrong
    return NONE_WORD if value is None else list(value) if isinstance(value, tuple) else value, value


def _table_of(document: Any, path: tuple[str, ...], place: str, *, create: bool) -> Any:
    """The table that holds the last part of `path`; None where there is none and none is made. Raises: Invalid."""
    import tomlkit  # noqa: PLC0415 -- as above

    table: Any = document
    for part in path[:-1]:
        if part not in table:
            if not create:
                return None
            table[part] = tomlkit.table(is_super_table=part != path[-2])
        table = table[part]
        if not hasattr(table, "keys"):
            raise Invalid(f"{place}: {part} is not a table", remedy="correct it by hand; see `oxios config validate`")
    return table


def _not_set(path: tuple[str, ...], file: Path) -> NotFound:
    known = spec_of(path) is not None or is_table(path)
    why = "" if known else f": {unknown(path)}"
    return NotFound(f"{'.'.join(path)} is not set in {file}{why}", remedy="see `oxios config get --origin`")


def _why_not(path: tuple[str, ...]) -> str:
    return "this is a table; name a setting in it" if is_table(path) else unknown(path)


def _edit(
    home: Path, path: tuple[str, ...], change: Callable[[Any], Value], env: Mapping[str, str], *, create: bool
) -> Value:
    import tomlkit  # noqa: PLC0415 -- 25 ms, for edits only

    file = home / CONFIG_NAME
    old = text_of(home)
    from_text(old, str(file), "user")
    document: Any = tomlkit.parse(old.decode())
    table = _table_of(document, path, str(file), create=create)
    if table is None:
        raise _not_set(path, file)
    before = change(table)
    new = tomlkit.dumps(document).encode()
    check_text(home, new, env)
    replace_text(home, old, new)
    return before


def replace_file(file: Path, old: bytes, new: bytes) -> None:
    """Put `new` in the file's place, mode 0600. Raises: Conflict, where it no longer holds `old`; OSError.

    Of several that replace the same text at once, in whatever threads and processes of ours, one does.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # made with mode 0600
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(new)
            out.flush()
            os.fsync(out.fileno())
        fcntl.flock(folder, fcntl.LOCK_EX)  # Until it is closed.
        if (file.read_bytes() if file.exists() else b"") != old:
            raise Conflict(f"{file} was changed by somebody else meanwhile", remedy="try again")
        Path(temporary).replace(file)
        os.fsync(folder)
    finally:
        os.close(folder)
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
