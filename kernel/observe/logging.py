"""Where `kernel.log` goes: structlog to stderr, as text for a person or as JSON, secrets left out.

Guarantees: no line holds the value of an environment variable that the settings name as a key or
that is named like one, nor what `kernel.syscalls.scrub` knows by its form, nor a text field whose
own name says that it is a secret; tracebacks never show local variables. structlog is imported
(110 ms) when the first line passes the level.
Does not protect against a secret that has none of these marks: do not log what you do not know.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Final, TypeAlias, cast

from kernel.clock import Clock
from kernel.log import Line, install
from kernel.settings.record import key_names
from kernel.settings.tree import Settings
from kernel.syscalls.scrub import Scrubber, secret_values

HIDDEN: Final = "[hidden]"

Renderer: TypeAlias = Callable[[str, dict[str, object]], str]

_SECRET_NAME = re.compile(r"(?:^|_)(?:api_?key|key|secret|password|passwd|token|authorization|cookie)$", re.IGNORECASE)


def configure_logging(
    settings: Settings, clock: Clock, env: Mapping[str, str], *, stream: IO[str] | None = None
) -> Callable[[], None]:
    """Log as the settings say, to `stream`, or to what stderr is then; the returned call undoes it."""
    scrubber = Scrubber(secret_values(env, key_names(settings)))
    return install(_Outlet(clock, settings.log.json, scrubber, stream).write, settings.log.level)


@dataclass(slots=True)
class _Outlet:
    clock: Clock
    as_json: bool
    scrubber: Scrubber
    stream: IO[str] | None
    _render: Renderer | None = field(default=None, init=False)

    def write(self, line: Line) -> None:
        stream = self.stream or sys.stderr
        when = datetime.fromtimestamp(self.clock.now_us() / 1_000_000, UTC)
        fields: dict[str, object] = {
            "timestamp": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": line.level,
            "logger": line.logger,
            "event": self.scrubber.scrub(line.event),
        }
        for name, value in line.fields.items():
            fields.setdefault(name if name not in fields else f"{name}_", self._clean(name, value))
        if line.error is not None:
            fields["exception"] = self.scrubber.scrub("".join(traceback.format_exception(line.error)).rstrip())
        if self._render is None:
            self._render = _renderer(self.as_json, colours=stream.isatty())
        print(self._render(line.level, fields), file=stream, flush=True)

    def _clean(self, name: str, value: object) -> object:
        """Numbers as they are, everything else as scrubbed text."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if _SECRET_NAME.search(name):
            return HIDDEN
        return self.scrubber.scrub(value if isinstance(value, str) else repr(value))


def _renderer(as_json: bool, *, colours: bool) -> Renderer:
    import structlog  # noqa: PLC0415 -- 110 ms, that a quiet process does not pay

    render: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0, sort_keys=False
        )
    )
    return lambda level, fields: cast("str", render(None, level, fields))
