"""Sessions: list, search, make, read, name, put away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from kernel.ids import RunId
from kernel.journal.projection import Scalar
from ouroboros import session as words
from ouroboros.cycle import check_message
from ouroboros.sessionbook import SessionBook
from ouroboros.sessiondesk import SessionDesk
from webui.beginning import Beginning, begin_session
from webui.desk import Desk
from webui.pages.chat.acts import talk_of
from webui.queued import Said
from webui.record import told
from webui.rest.etags import require_match
from webui.rest.operation import Answer, operation
from webui.rest.paging import cursor_of, page_of, place_of
from webui.rest.sessions import (
    Made,
    MessageOut,
    SessionEdit,
    SessionFork,
    SessionIn,
    SessionOut,
    SessionRow,
    message_out,
    session_out,
    session_tag,
)
from webui.rest.shapes import Id, Message, Page, Paging

_LOOKED_FOR: Final = (
    "Only those in which every word begins one, of all that are not deleted, whatever `status` says; "
    "at most 100, on one page."
)


class SessionQuery(Paging):
    status: Literal["active", "archived", "deleted", "kept"] = Field(
        default="active", description="`kept`: the first two."
    )
    q: Annotated[str, Field(max_length=200, description=_LOOKED_FOR)] = ""


@operation("GET", "/api/sessions", "sessions_list")
async def sessions_list(desk: Desk, query: SessionQuery) -> Page[SessionRow]:
    """The user's own, the newest first; the pinned ones stand before the others of the first page.

    Pinned sessions come on top of `limit`.
    """
    book = SessionBook(desk.kernel.journal, desk.user.principal)
    if query.q:
        found = await book.search(query.q, limit=min(query.limit, 100))
        return Page[SessionRow](items=[_row(desk, one.row, one.snippet) for one in found])
    place = place_of(query.cursor, str)
    page = await book.page(query.status, limit=query.limit, after=place[0] if place else "")
    return Page[SessionRow](
        items=[_row(desk, row) for row in page.rows], next=cursor_of(page.after) if page.after else ""
    )


@operation(
    "POST", "/api/sessions", "sessions_create", scope="run", status=201, once=True, headers=("Location",), faults=(404,)
)
async def sessions_create(desk: Desk, body: SessionIn) -> Answer[Made]:
    """A new session; with a text, its first turn has begun."""
    wanted = Beginning(body.name, body.model, body.persona, body.approve, body.workspace)
    if body.text.strip():
        check_message(body.text)  # before a session is made for it
    session = await begin_session(desk, wanted)
    if body.text.strip():
        await desk.house.conversations.of(session).say(Said(body.text))
    return _made(session.id)


@operation("GET", "/api/sessions/{session}", "sessions_get", headers=("ETag",))
async def sessions_get(desk: Desk, session: Id) -> Answer[SessionOut]:
    """A session as it stands, with its newest turns."""
    found = (await talk_of(desk, session)).session
    return Answer(session_out(desk, found), {"ETag": session_tag(found)})


@operation("GET", "/api/sessions/{session}/messages", "sessions_messages")
async def sessions_messages(desk: Desk, session: Id, query: Paging) -> Page[MessageOut]:
    """Everything that was said in it, oldest first; in a fork, what was said before it too."""
    found = await desk.session(session)
    place = place_of(query.cursor, int)
    said = [entry for entry in await told(desk.kernel.journal, found.id) if entry.kind == words.MESSAGE]
    rest = [entry for entry in said if place is None or entry.seq > place[0]]
    return page_of(rest[: query.limit + 1], query.limit, message_out, lambda entry: (entry.seq,))


@operation("PATCH", "/api/sessions/{session}", "sessions_edit", scope="run", headers=("ETag",))
async def sessions_edit(desk: Desk, session: Id, body: SessionEdit, if_match: str) -> Answer[SessionOut]:
    """Name it, pin it, archive it; choose model, persona and approval mode, from the next turn on. All or nothing."""
    talk = await talk_of(desk, session)
    found, acts = talk.session, SessionDesk(desk.kernel, desk.user.principal)
    async with talk.editing:
        switched = body.model_dump(include={"model", "persona", "approve"})
        await acts.check(found, name=body.name, pinned=body.pinned, **switched)
        require_match(if_match, session_tag(found))
        await acts.switch(found, **switched)
        if body.name is not None:
            await acts.rename(found, body.name)
        if body.pinned is not None:
            await acts.pin(found, pinned=body.pinned)
        if body.archived is not None:
            await acts.archive(found, archived=body.archived)
        return Answer(session_out(desk, found), {"ETag": session_tag(found)})


@operation("DELETE", "/api/sessions/{session}", "sessions_delete", scope="run")
async def sessions_delete(desk: Desk, session: Id) -> Message:
    """Out of every list; what is under way in it ends. `sessions_restore` takes it back."""
    talk = await talk_of(desk, session)
    if talk.busy:
        await talk.stop()
    await SessionDesk(desk.kernel, desk.user.principal).delete(talk.session)
    return Message(message=f"session {session} is deleted")


@operation("POST", "/api/sessions/{session}/restore", "sessions_restore", scope="run")
async def sessions_restore(desk: Desk, session: Id) -> Message:
    """Take a deletion back."""
    found = (await talk_of(desk, session)).session
    await SessionDesk(desk.kernel, desk.user.principal).restore(found)
    return Message(message=f"session {session} is back")


@operation(
    "POST", "/api/sessions/{session}/fork", "sessions_fork", scope="run", status=201, once=True, headers=("Location",)
)
async def sessions_fork(desk: Desk, session: Id, body: SessionFork) -> Answer[Made]:
    """A new session with the turns up to one of this."""
    found = (await talk_of(desk, session)).session
    forked = await SessionDesk(desk.kernel, desk.user.principal).fork(found, body.turn, name=body.name)
    return _made(forked.id)


def _made(session: RunId) -> Answer[Made]:
    return Answer(Made(session=session), {"Location": f"/api/sessions/{session}"})


def _row(desk: Desk, row: Mapping[str, Scalar], snippet: str = "") -> SessionRow:
    values: dict[str, Any] = {name: str(row[name] or "") for name in _TEXTS}
    values |= {name: int(row[name] or 0) for name in ("turns", "created_us", "updated_us")}
    values |= {"title": str(row["name"] or row["opening"] or "New session"), "pinned": bool(row["pinned"])}
    return SessionRow(**values, busy=desk.house.conversations.busy(str(row["id"])), snippet=snippet)


_TEXTS = ("id", "name", "status", "model", "persona", "workspace", "parent")
ROUTES = [
    sessions_list,
    sessions_create,
    sessions_get,
    sessions_messages,
    sessions_edit,
    sessions_delete,
    sessions_restore,
    sessions_fork,
]
