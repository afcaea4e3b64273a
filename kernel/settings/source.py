"""Where values come from: TOML files with their line numbers, the environment, flags.

Guarantees: every assignment knows its origin (layer, place, line), and an unreadable or broken
file raises `SettingsInvalid` naming it and the line. Nothing here knows which keys exist.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

from kernel.errors import Invalid

Layer: TypeAlias = Literal["default", "system", "user", "project", "environment", "flag"]

ENV_PREFIX: Final = "OXIOS__"
FILE_BYTES_MAX: Final = 256 * 1024
KeyPath: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Which layer, and where in it: a file and a line, a variable, a flag."""

    layer: Layer
    place: str = ""
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.place}:{self.line}" if self.line else self.place or self.layer


@dataclass(frozen=True, slots=True)
class Assignment:
    """`text` is True where `raw` came as text and its kind decides how to read it."""

    path: KeyPath
    raw: object
    origin: Origin
    text: bool = False


class SettingsInvalid(Invalid):
    """One or more settings are wrong; `problems` has a line for each, with file, line and key."""

    code = "settings_invalid"

    def __init__(self, problems: tuple[str, ...], *, remedy: str = "") -> None:
        super().__init__("\n".join(problems), remedy=remedy)
        self.problems = problems


def from_file(path: Path, layer: Layer) -> list[Assignment]:
    """Every table and value of a TOML file, tables first; none where there is no file.

    Raises: SettingsInvalid, where the file cannot be read, is too long, is not TOML, or may be
    written by everybody.
    """
    try:
        with path.open("rb") as file:
            open_to_all = os.fstat(file.fileno()).st_mode & stat.S_IWOTH
            data = file.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SettingsInvalid(
            (f"{path}: cannot be read ({error.strerror})",), remedy="make it readable, or remove it"
        ) from error
    if open_to_all and layer != "project":  # a project's can only tighten
        raise SettingsInvalid((f"{path}: everybody on this machine may write it",), remedy=f"chmod 600 {path}")
    return from_text(data, str(path), layer)


def from_text(data: bytes, place: str, layer: Layer) -> list[Assignment]:
    """As `from_file`, for bytes in hand."""
    import tomllib  # noqa: PLC0415 -- 10 ms that a home without files does not pay

    if len(data) > FILE_BYTES_MAX:
        raise SettingsInvalid(
            (f"{place}: {len(data)} bytes or more are too many",), remedy=f"at most {FILE_BYTES_MAX} bytes"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SettingsInvalid((f"{place}:{line}: not UTF-8",), remedy="save the file as UTF-8") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid((_broken(place, text, str(error)),), remedy="see https://toml.io/en/v1.0.0") from error
    lines = locate(text)
    return [Assignment(path, value, Origin(layer, place, _line_of(lines, path))) for path, value in flatten(raw)]


def from_environment(env: Mapping[str, str]) -> list[Assignment]:
    """`OXIOS__A__B` sets `a.b`; the names are lower-cased."""
    return [
        Assignment(tuple(name[len(ENV_PREFIX) :].lower().split("__")), value, Origin("environment", name), text=True)
        for name, value in sorted(env.items())
        if name.startswith(ENV_PREFIX)
    ]


def from_flags(overrides: Mapping[str, str]) -> list[Assignment]:
    """`--set a.b=value`."""
    return [
        Assignment(tuple(key.split(".")), value, Origin("flag", f"--set {key}"), text=True)
        for key, value in overrides.items()
    ]


def flatten(raw: Mapping[str, object], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Tables and values with their paths, a table before what is in it."""
    for key, value in raw.items():
        path = (*prefix, key)
        yield path, value
        if isinstance(value, dict):
            yield from flatten(cast("dict[str, object]", value), path)


def locate(text: str) -> dict[KeyPath, int]:
    """The line, from 1, on which each key of a valid TOML text is written.

    TOML has one statement a line, so the text is cut into the shortest runs of lines that parse.
    """
    lines: dict[KeyPath, int] = {}
    header: KeyPath = ()
    chunk: list[str] = []
    start = 1
    for number, line in enumerate(text.split("\n"), start=1):
        if not chunk:
            start = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        chunk.append(line)
        parsed = _parse_or_none("\n".join(chunk))
        if parsed is None:
            continue
        paths = [path for path, _ in flatten(parsed)]
        if chunk[0].lstrip().startswith("["):
            header, under = paths[-1], ()
        else:
            under = header
        for path in paths:
            lines.setdefault((*under, *path), start)
        chunk = []
    return lines


def _parse_or_none(chunk: str) -> dict[str, object] | None:
    import tomllib  # noqa: PLC0415 -- see from_text

    try:
        return tomllib.loads(chunk)
    except tomllib.TOMLDecodeError:
        return None


def _line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _broken(place: str, text: str, message: str) -> str:
    found = re.search(r"\(at line (\d+), column (\d+)\)", message)
    line = int(found[1]) if found else text.count("\n") + 1
    what = message[: found.start()].strip() if found else message.replace("(at end of document)", "").strip()
    return f"{place}:{line}: not TOML: {what[:1].lower()}{what[1:]}"
