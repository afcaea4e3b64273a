"""Templates and their filters: figures, times and names as people read them.

Guarantees: everything is escaped but what passed the sanitiser; a name that a template uses and its
page did not give is an error, not an empty place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from anyio import to_thread
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from kernel.ids import Principal
from webui import assets, markdown, terminal
from webui.navigation import NavItem

_HERE: Final = Path(__file__).parent
_SECOND_US: Final = 1_000_000
_KILO: Final = 1_000


class Views:
    """What pages are rendered with. Templates are compiled once a process: by `warm`, or on first use."""

    def __init__(self) -> None:
        self._environment = _environment()
        self.navigation: tuple[NavItem, ...] = ()
        """Set once, when the pages were found."""

    def render(self, template: str, **model: Any) -> str:
        return self._environment.get_template(template).render(**model)

    async def warm(self) -> None:
        """Compile every template, beside whatever else goes on: else the first to open a page holds up all."""
        for name in self._environment.list_templates(extensions=["html"]):
            await to_thread.run_sync(self._environment.get_template, name)


@cache
def _environment() -> Environment:
    loaders = [FileSystemLoader(_HERE / "pages"), FileSystemLoader(_HERE / "layout")]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    cast("dict[str, Any]", environment.filters).update(
        {
            "markdown": markdown.framed,
            "terminal": terminal.to_html,
            "money": money,
            "duration": duration,
            "size": size,
            "tokens": tokens,
            "iso": iso,
            "who": who,
            "pretty": pretty,
        }
    )
    cast("dict[str, Any]", environment.globals)["static"] = assets.url
    return environment


def money(micro_usd: float | None) -> str:
    """Micro-dollars as dollars, with as many places as say something."""
    usd = (micro_usd or 0) / 1_000_000
    if usd == 0:
        return "$0"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.4f}"


def duration(ms: float | None) -> str:
    if ms is None:
        return "—"
    if ms < _KILO:
        return f"{ms:.0f} ms"
    seconds = ms / _KILO
    if seconds < 60:  # noqa: PLR2004 -- a minute
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes} min {left:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"  # noqa: PLR2004 -- an hour


def size(count: float | None) -> str:
    """Bytes, in the units of 1024."""
    value = float(count or 0)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004 -- a unit's size
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def tokens(count: float | None) -> str:
    value = count or 0
    return f"{value:.0f}" if value < 10 * _KILO else f"{value / _KILO:.1f}k"


def iso(time_us: float | None) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC; empty for none."""
    from datetime import UTC, datetime  # noqa: PLC0415 -- named here, since its `now` is banned

    if not time_us:
        return ""
    return datetime.fromtimestamp(time_us / _SECOND_US, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def who(principal: Principal | str | None) -> str:
    """A principal's name, without its kind where that is plain."""
    text = str(principal or "")
    return text.removeprefix("user:")


def pretty(value: Mapping[str, Any] | Any) -> str:
    """JSON for people."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
