"""Logging for every room: an event's name and its fields, to stderr, for whoever watches the process.

    _log = get_logger("journal")
    _log.warning("disk_full", path=path, free_bytes=free)

Guarantees: a line below the level costs a comparison; fields bound by `bind` (run, call, trace) are
on every line of the task that bound them and of the tasks it starts. structlog is imported when the
first line is written (kernel.observe.logging), so a quiet process never pays for it.
Does not guarantee a record: the journal is the record. Until `install` is called only warnings and
worse are written, in plain text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
Sink: TypeAlias = Callable[["Line"], None]

LEVELS: Final[Mapping[LogLevel, int]] = MappingProxyType({"debug": 10, "info": 20, "warning": 30, "error": 40})

_bound: ContextVar[Mapping[str, object]] = ContextVar("oxios_log_bound", default=MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to log. `error` is the exception whose traceback belongs to it."""

    level: LogLevel
    logger: str
    event: str
    fields: Mapping[str, object]
    error: BaseException | None = None


@dataclass(slots=True)
class _Outlet:
    """Where lines go in this process, and from which level on."""

    sink: Sink
    threshold: int = LEVELS["warning"]


@dataclass(frozen=True, slots=True)
class Logger:
    """Named after its room. Events are names (`disk_full`), what varies goes into fields."""

    name: str

    def debug(self, event: str, **fields: object) -> None:
        self._log("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._log("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._log("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._log("error", event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """An error, with the traceback of the exception being handled."""
        self._log("error", event, fields, sys.exception())

    def _log(
        self, level: LogLevel, event: str, fields: Mapping[str, object], error: BaseException | None = None
    ) -> None:
        if LEVELS[level] >= _outlet.threshold:
            _outlet.sink(Line(level, self.name, event, {**_bound.get(), **fields}, error))


def get_logger(name: str) -> Logger:
    return Logger(name)


@contextmanager
def bind(**fields: object) -> Generator[None]:
    """Put `fields` on every line logged inside, tasks started inside included."""
    token = _bound.set(MappingProxyType({**_bound.get(), **fields}))
    try:
        yield
    finally:
        _bound.reset(token)


def install(sink: Sink, level: LogLevel) -> Callable[[], None]:
    """Send lines of `level` and worse to `sink`; the returned call puts back what was before."""
    before = (_outlet.sink, _outlet.threshold)
    _outlet.sink, _outlet.threshold = sink, LEVELS[level]

    def restore() -> None:
        _outlet.sink, _outlet.threshold = before

    return restore


def _plain(line: Line) -> None:
    fields = " ".join(f"{name}={value!r}" for name, value in line.fields.items())
    why = f" ({type(line.error).__name__}: {line.error})" if line.error else ""
    print(f"{line.level}: {line.logger}: {line.event} {fields}".rstrip() + why, file=sys.stderr)  # noqa: T201 -- no sink yet


_outlet = _Outlet(_plain)
