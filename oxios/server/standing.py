"""How the server of a home is, seen from outside."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from kernel.clock import SystemClock
from oxios.server.record import Record, lock_holder, serving

ASK_S: Final = 5.0
_MICRO: Final = 1_000_000
_ANSWER_BYTES_MAX: Final = 64 * 1024


def look(home: Path) -> dict[str, object]:
    """What `oxios status --json` says; its fields are stable."""
    record = serving(home)
    if record is None:
        return {"running": False, "home": str(home), "locked_by": lock_holder(home)}
    ready, trouble = _ready(record)
    started = datetime.fromtimestamp(record.started_us / _MICRO, UTC).astimezone()
    return {
        "running": True,
        "home": str(home),
        "pid": record.pid,
        "url": record.url,
        "ready": ready,
        "trouble": trouble,
        "started": started.isoformat(timespec="seconds"),
        "uptime_s": max(0, (SystemClock().now_us() - record.started_us) // _MICRO),
        "version": record.version,
    }


def _ready(record: Record) -> tuple[bool, str]:
    """Whether `/ready` says so, and if not, why."""
    connection = HTTPConnection(record.address, timeout=ASK_S)
    try:
        connection.request("GET", "/ready", headers={"Host": urlsplit(record.url).netloc})
        answer = connection.getresponse()
        said = answer.read(_ANSWER_BYTES_MAX)
    except (OSError, HTTPException) as error:
        return False, f"it does not answer: {error}"
    finally:
        connection.close()
    return (True, "") if answer.status == 200 else (False, _why(said, answer.status))  # noqa: PLR2004 -- OK


def _why(said: bytes, status: int) -> str:
    try:
        checks = cast("dict[str, dict[str, str]]", json.loads(said))["checks"]
        bad = [name for name, state in checks.items() if state != "ok"]
        return f"{', '.join(bad)} (`oxios doctor` says more)"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"/ready answered {status}"
