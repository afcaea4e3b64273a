"""Settings: what is set and may be, checking, and changing what differs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from kernel.errors import AccessDenied, Conflict
from kernel.handle.config import CHANGES_MAX, TEXT_CHARS_MAX, ConfigDesk, digest_of
from kernel.settings.live import is_live
from kernel.settings.record import record
from kernel.settings.schema import json_schema, rows
from kernel.settings.source import SettingsInvalid
from webui.desk import Desk
from webui.rest.etags import require_match
from webui.rest.operation import Answer, operation
from webui.rest.shapes import Asked, Json, Shape


class SettingOut(Shape):
    """One that is in force, or would be at the next start."""

    key: str
    value: Json
    origin: str = Field(description="The layer and place it comes from, or `default`.")
    live: bool = Field(description="A change holds without a restart.")


class SettingDoc(Shape):
    key: str
    default: Json
    allowed: str
    project: str
    doc: str


class SettingsOut(Shape):
    values: list[SettingOut]
    text: str = Field(description="The home's config.toml, as it stands.")


class SchemaOut(Shape):
    """`rows` for a person, `json_schema` of a whole config.toml for a program."""

    rows: list[SettingDoc]
    json_schema: dict[str, Json]


class ChangesIn(Asked):
    """Dotted keys, each with its value as `oxios config set` takes it, or null to remove it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"changes": {"approval.mode": "manual"}}]})

    changes: dict[Annotated[str, Field(max_length=200)], Annotated[str, Field(max_length=8_192)] | None] = Field(
        min_length=1, max_length=CHANGES_MAX
    )


class FileTextIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": '[approval]\nmode = "manual"\n'}]})

    text: Annotated[str, Field(max_length=TEXT_CHARS_MAX)]


class CheckedOut(Shape):
    """A line for each problem: where, what was wrong, what is allowed."""

    ok: bool
    problems: list[str]


class ChangedOut(Shape):
    """What differs from what was in force."""

    changed: list[str]
    message: str


@operation("GET", "/api/settings", "settings_get", headers=("ETag",), faults=(422,))
async def settings_get(desk: Desk) -> Answer[SettingsOut]:
    """Every setting with its value and where that comes from; and the file that an edit changes."""
    config = _desk(desk)
    text, resolved = config.text(), config.resolved()
    values = [
        SettingOut(key=key, value=value, origin=_origin(resolved.origins.get(key)), live=is_live(key))
        for key, value in record(resolved.settings).items()
    ]
    return Answer(SettingsOut(values=values, text=text.decode(errors="replace")), {"ETag": _tag(text)})


@operation("GET", "/api/settings/schema", "settings_schema")
async def settings_schema(desk: Desk) -> SchemaOut:
    """Every setting there is, what it may hold and what it means."""
    _ = desk
    docs = [
        SettingDoc(key=row.key, default=row.default, allowed=row.allowed, project=row.project, doc=row.doc)
        for row in rows()
    ]
    return SchemaOut(rows=docs, json_schema=dict(json_schema()))


@operation("POST", "/api/settings/validate", "settings_validate")
async def settings_validate(desk: Desk, body: FileTextIn) -> CheckedOut:
    """Check a text as the home's config.toml, with every other layer; nothing is written."""
    try:
        _desk(desk).checked(body.text.encode())
    except SettingsInvalid as error:
        return CheckedOut(ok=False, problems=list(error.problems))
    return CheckedOut(ok=True, problems=[])


@operation("PATCH", "/api/settings", "settings_change", headers=("ETag",))
async def settings_change(desk: Desk, body: ChangesIn, if_match: str) -> Answer[ChangedOut]:
    """Change some, checked together: all or none; comments and order of the file stay."""
    return await _write(desk, "config.set", {"changes": dict(body.changes)}, if_match)


@operation("PUT", "/api/settings/text", "settings_write", headers=("ETag",))
async def settings_write(desk: Desk, body: FileTextIn, if_match: str) -> Answer[ChangedOut]:
    """Replace the text of the home's config.toml, after checking it."""
    return await _write(desk, "config.write", {"text": body.text}, if_match)


async def _write(desk: Desk, syscall: str, arguments: dict[str, Any], if_match: str) -> Answer[ChangedOut]:
    config = _desk(desk)
    text = config.text()
    require_match(if_match, _tag(text))
    try:
        done = await desk.call(syscall, {**arguments, "digest": digest_of(text)})
    except Conflict:
        require_match(if_match, _tag(config.text()))  # Somebody else came between the look and the act.
        raise
    changed = ChangedOut.model_validate({**done.data, "message": done.text})
    return Answer(changed, {"ETag": _tag(config.text())})


def _desk(desk: Desk) -> ConfigDesk:
    """Raises: AccessDenied, for who may not read settings."""
    if not desk.may("kernel:config", "r"):
        raise AccessDenied(
            "settings are not yours to see", layer="capability", need="kernel:config [r]", remedy="ask the operator"
        )
    return desk.kernel.dispatcher.services.get(ConfigDesk)


def _tag(text: bytes) -> str:
    return f'"{digest_of(text)}"'


def _origin(origin: Any) -> str:
    return f"{origin.layer}: {origin}" if origin else "default"


ROUTES = [settings_get, settings_schema, settings_validate, settings_change, settings_write]
