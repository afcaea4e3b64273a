"""Where `kernel.log` goes: structlog to stderr, as text for a person or as JSON, secrets left out.

Guarantees: no line holds the value of an environment variable that the settings name as a key, what
`kernel.syscalls.scrub` knows as a secret, nor a field whose name says that it is one; tracebacks
never show local variables. structlog is imported (110 ms) when the first line passes the level.
Does not protect against a secret that has none of these marks: do not log what you do not know.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Final, cast

from kernel.clock import Clock
from kernel.log import Line, install
from kernel.settings.tree import Settings
from kernel.syscalls.scrub import scrub

HIDDEN: Final = "[hidden]"
SECRET_CHARS_MIN: Final = 6
"""A shorter value is no secret worth the name, and hiding it would blank out half of the text."""

_SECRET_NAME = re.compile(r"(?:^|_)(?:api_?key|key|secret|password|passwd|token|authorization|cookie)$", re.IGNORECASE)


def configure_logging(
    settings: Settings, clock: Clock, env: Mapping[str, str], *, stream: IO[str] | None = None
) -> Callable[[], None]:
    """Log as the settings say, to `stream` (default: stderr); the returned call undoes it."""
    outlet = _Outlet(clock, settings.log.json, _secrets_of(settings, env), stream or sys.stderr)
    return install(outlet.write, settings.log.level)


@dataclass(slots=True)
class _Outlet:
    clock: Clock
    as_json: bool
    secrets: tuple[str, ...]
    stream: IO[str]
    _render: Callable[[str, dict[str, object]], str] | None = field(default=None, init=False)

    def write(self, line: Line) -> None:
        when = datetime.fromtimestamp(self.clock.now_us() / 1_000_000, UTC)
        fields: dict[str, object] = {
            "timestamp": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": line.level,
            "logger": line.logger,
            "event": line.event,
        }
        fields |= {name: self._clean(name, value) for name, value in line.fields.items()}
        if line.error is not None:
            fields["exception"] = self._clean("exception", "".join(traceback.format_exception(line.error)).rstrip())
        if self._render is None:
            self._render = _renderer(self.as_json, colours=self.stream.isatty())
        print(self._render(line.level, fields), file=self.stream, flush=True)

    def _clean(self, name: str, value: object) -> object:
        """Numbers as they are, everything else as scrubbed text."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if _SECRET_NAME.search(name):
            return HIDDEN
        text = value if isinstance(value, str) else repr(value)
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return scrub(text)


def _secrets_of(settings: Settings, env: Mapping[str, str]) -> tuple[str, ...]:
    names: Iterable[str] = (*(one.key_env for one in settings.providers.values()), settings.search.key_env)
    values = {env[name] for name in names if name and len(env.get(name, "")) >= SECRET_CHARS_MIN}
    return tuple(sorted(values, key=len, reverse=True))


def _renderer(as_json: bool, *, colours: bool) -> Callable[[str, dict[str, object]], str]:
    import structlog  # noqa: PLC0415 -- 110 ms, that a quiet process does not pay

    render: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0, sort_keys=False
        )
    )
    return lambda level, fields: cast("str", render(None, level, fields))
