"""`/settings`: every setting with where it comes from, to change; `/settings/raw`: the text of config.toml.

Guarantees: only what was changed is written, by a syscall of whoever is signed in; comments stay. What is
wrong is said before anything is written or journalled, beside its field or with its line. A form is of the
text it was drawn from: over another's edit it comes back with what was typed. What holds at once and what
needs a restart is said. Who may read settings sees them; the text of the file is for who may change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromQuery
from litestar.response import Redirect

from kernel.errors import AccessDenied, Conflict, NotFound
from kernel.handle.config import TEXT_CHARS_MAX, ConfigDesk, digest_of
from kernel.settings.live import is_live
from kernel.settings.load import CONFIG_NAME, path_of, spec_of
from kernel.settings.record import changed, record
from kernel.settings.source import SettingsInvalid
from webui.desk import Desk
from webui.forms import Form
from webui.navigation import NavItem
from webui.settings_view import Typed, addable, changes_of, sections, told
from webui.view import page

NAV = NavItem("Settings", "/settings", "settings", 78, group="System", needs="kernel:config", keys="g ,")
_ADMIN: Final = {"scope": "admin"}
_WRONG: Final = 422
_STALE: Final = 409
_STALE_WORDS: Final = (
    f"{CONFIG_NAME} was changed by somebody else meanwhile. Nothing was written; what you typed is below, beside "
    "what holds now. Save again to put it in place."
)


@get("/settings", include_in_schema=False)
async def index(
    desk: Desk, q: FromQuery[str] = "", add: FromQuery[str] = "", saved: FromQuery[str] = ""
) -> Response[str]:
    """The form; `add` is a table and a name that is to be new in it, `saved` what was just written."""
    return _form(desk, q=q, add=add.strip(), saved=saved)


@post("/settings", include_in_schema=False, opt=_ADMIN)
async def save(desk: Desk, data: Form) -> Response[Any]:
    """Write what differs from what holds."""
    config = _config(desk, write=True)
    resolved = config.resolved()
    if "unset" in data:
        changes: dict[str, str | None] = {data["unset"]: None}
        typed = Typed()
    else:
        changes, typed = changes_of(resolved, data, data.get("shown", "").split())
    if typed.faults:
        return _form(desk, typed=typed, add=data.get("add", ""), http_status=_WRONG)
    if not changes:
        return Redirect("/settings", status_code=303)
    try:
        await desk.call("config.set", {"changes": changes, "digest": data.get("digest", "")})
    except SettingsInvalid as error:
        typed, rest = told(error.problems, typed)
        return _form(desk, typed=typed, problems=rest, add=data.get("add", ""), http_status=_WRONG)
    except Conflict:
        return _form(desk, typed=typed, problems=(_STALE_WORDS,), add=data.get("add", ""), http_status=_STALE)
    return Redirect(f"/settings?saved={','.join(changes)}", status_code=303)


@get("/settings/raw", include_in_schema=False)
async def raw(desk: Desk, saved: FromQuery[bool] = False) -> Response[str]:
    """The text of the home's file."""
    config = _config(desk, write=True)
    text = config.text()
    return _raw(desk, text.decode(errors="replace"), digest_of(text), saved=saved, problems=_problems(config, text))


@post("/settings/raw", include_in_schema=False, opt=_ADMIN)
async def write(desk: Desk, data: Form) -> Response[Any]:
    """Replace it, where it is right and still the text that was loaded."""
    config = _config(desk, write=True)
    text, digest = data.get("text", "").replace("\r\n", "\n"), data.get("digest", "")
    if len(text) > TEXT_CHARS_MAX:
        return _raw(desk, text, digest, problems=(f"at most {TEXT_CHARS_MAX} characters",), http_status=_WRONG)
    problems = _problems(config, text.encode())
    if problems:
        return _raw(desk, text, digest, problems=problems, http_status=_WRONG)
    try:
        await desk.call("config.write", {"text": text, "digest": digest})
    except Conflict:
        now = config.text()
        return _raw(
            desk, text, digest_of(now), now=now.decode(errors="replace"), problems=(_STALE_WORDS,), http_status=_STALE
        )
    return Redirect("/settings/raw?saved=true", status_code=303)


def _form(
    desk: Desk,
    *,
    typed: Typed | None = None,
    problems: Sequence[str] = (),
    q: str = "",
    add: str = "",
    saved: str = "",
    http_status: int = 200,
) -> Response[str]:
    config, may = _config(desk), desk.may("kernel:config", "w")
    text = config.text()
    try:
        resolved = config.resolved()
    except SettingsInvalid as error:
        if may:
            return _raw(desk, text.decode(errors="replace"), digest_of(text), problems=error.problems)
        raise
    if add and not addable(add):
        problems, add = (*problems, f"{add} is no name that may be added there"), ""
    pending = changed(record(desk.kernel.settings), record(resolved.settings))
    kept = [key for key in saved.split(",") if key and spec_of(path_of(key))]
    return page(
        desk,
        "settings/index.html",
        title="Settings",
        http_status=http_status,
        sections=sections(resolved, pending, typed or Typed(), words=q, added=add),
        digest=digest_of(text),
        file=config.started.home / CONFIG_NAME,
        problems=problems,
        pending=pending,
        live=[key for key in kept if is_live(key)],
        later=[key for key in kept if not is_live(key)],
        may=may,
        add=add,
        q=q,
    )


def _raw(
    desk: Desk,
    text: str,
    digest: str,
    *,
    problems: Sequence[str] = (),
    now: str = "",
    saved: bool = False,
    http_status: int = 200,
) -> Response[str]:
    config = _config(desk, write=True)
    file = str(config.started.home / CONFIG_NAME)
    return page(
        desk,
        "settings/raw.html",
        title="Settings",
        http_status=http_status,
        text=text,
        digest=digest,
        file=file,
        problems=[one.removeprefix(f"{file}:") for one in problems],
        now=now,
        saved=saved,
        most=TEXT_CHARS_MAX,
    )


def _problems(config: ConfigDesk, text: bytes) -> tuple[str, ...]:
    try:
        config.checked(text)
    except SettingsInvalid as error:
        return error.problems
    return ()


def _config(desk: Desk, *, write: bool = False) -> ConfigDesk:
    """Raises: NotFound, for who may not read settings; AccessDenied, for who may not change them."""
    _ = desk.user
    if not desk.may("kernel:config", "r"):
        raise NotFound("there is no such page", remedy="the menu shows them")
    if write and not desk.may("kernel:config", "w"):
        raise AccessDenied(
            "only the operator changes settings", layer="capability", need="kernel:config w", remedy="ask the operator"
        )
    return desk.kernel.dispatcher.services.get(ConfigDesk)


ROUTES = [index, save, raw, write]
