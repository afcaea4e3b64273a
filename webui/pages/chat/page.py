"""Chat: the list of sessions, one conversation live, what it cost and touched.

Guarantees: the page shows the record; what is sent is a plain request with a key of its own, taken
once. Every session here is the user's own: another's is not found.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from kernel.engine.report import configured
from kernel.persona import load_personas
from kernel.terms import asked_terms
from ouroboros.cycle import check_message
from ouroboros.sessionbook import LISTED_MAX, SessionBook
from ouroboros.sessiondesk import APPROVALS
from ouroboros.sessionglance import Glance, glance_of
from webui import sse
from webui.beginning import Beginning, begin_session
from webui.desk import Desk
from webui.drawing import Drawing
from webui.forms import Form, Part, redirected, whole
from webui.navigation import NavItem
from webui.pages.chat import acts
from webui.pages.chat.acts import talk_of
from webui.pages.chat.details import details_of
from webui.pages.chat.drafted import draft_of
from webui.queued import Said
from webui.record import Loaded, of_session
from webui.rooms import TURNS_SHOWN, title_from
from webui.view import page, part

NAV = NavItem("Chat", "/chat", "message-square", 10, keys="g c")
SESSIONS_SHOWN = 60
APPROVALS_READ = 200


@get("/chat", include_in_schema=False)
async def index(
    desk: Desk, q: FromQuery[str] = "", archived: FromQuery[str] = "", n: FromQuery[int] = 0, part_: Part = ""
) -> Response[Any]:
    """The newest session; an empty one where there is none. `n` is how many of them the list has."""
    listed = await _listed(desk, q, archived, n=n)
    if part_ == "sessions":
        return part(desk, "chat/sessions.html", **listed)
    sessions = listed["sessions"]
    return Redirect(f"/chat/{sessions[0]['id']}" if sessions else "/chat/new")


@post("/chat", include_in_schema=False)
async def begin(desk: Desk, data: Form) -> Response[str]:
    """A new session, with its first message."""
    wanted = Beginning(
        model=data.get("model", ""),
        persona=data.get("persona", ""),
        approve=data.get("approve", ""),
        workspace=data.get("workspace", ""),
    )
    if data.get("text", "").strip():
        check_message(data["text"])  # before a session is made for it
    session = await begin_session(desk, wanted)
    if data.get("text", "").strip():
        await desk.house.conversations.of(session).say(Said(data["text"], key=data.get("key", "")))
    return redirected(f"/chat/{session.id}")


@get("/chat/new", include_in_schema=False)
async def new(desk: Desk) -> Response[str]:
    """An empty conversation; the session begins with its first message."""
    return page(desk, "chat/empty.html", title="New chat", **await _listed(desk), **await _choices(desk))


@get("/chat/{session_id:str}", include_in_schema=False)
async def show(
    desk: Desk,
    session_id: FromPath[str],
    *,
    part_: Part = "",
    q: FromQuery[str] = "",
    archived: FromQuery[str] = "",
    n: FromQuery[int] = 0,
    before: FromQuery[int | None] = None,
) -> Response[Any]:
    """One conversation."""
    if part_ == "sessions":
        return part(desk, "chat/sessions.html", **await _listed(desk, q, archived, session_id, n=n))
    if part_ == "details":
        whole = glance_of(await desk.session(session_id))
        return part(desk, "chat/details.html", **await details_of(desk, whole), **await _choices(desk))
    seen = await desk.glance(session_id)
    if part_ == "earlier":
        return await _earlier(desk, seen, before or 0)
    loaded = await of_session(desk.kernel.journal, seen.session.id, turns=TURNS_SHOWN)
    name = title_from(seen.session.name, seen.opening)
    return page(
        desk,
        "chat/conversation.html",
        title=name,
        name=name,
        after=loaded.page.seq,
        **await _listed(desk, q, archived, seen.session.id),
        **await _drawn(desk, seen, loaded),
        **await details_of(desk, seen, loaded),
        **await _choices(desk),
    )


@get("/chat/{session_id:str}/events", include_in_schema=False)
async def events(
    desk: Desk, request: Request[Any, Any, Any], session_id: FromPath[str], after: FromQuery[int] = 0
) -> sse.EventAnswer:
    """The conversation as it goes on after an entry."""
    room = await desk.house.rooms.enter(await desk.glance(session_id))
    since = sse.last_id(request.headers.get("last-event-id"))

    async def write(put: sse.Put) -> None:
        async with room.viewing(after if since is None else since) as viewer:
            while True:
                await put(await viewer.next())

    return sse.EventAnswer(write)


@post("/chat/{session_id:str}/say", include_in_schema=False, status_code=202)
async def say(desk: Desk, session_id: FromPath[str], data: Form) -> dict[str, str]:
    """A message: begins a turn, answers, steers the agent at work, or waits (`queue`)."""
    talk = await talk_of(desk, session_id)
    said = Said(data.get("text", ""), key=data.get("key", "")[:64])
    attach = [name for name in data.get("attach", "").split(",") if name]
    return {"became": await talk.say(said, queue=data.get("queue") == "1", attach=attach)}


@post("/chat/{session_id:str}/unqueue", include_in_schema=False, status_code=200)
async def unqueue(desk: Desk, session_id: FromPath[str], data: Form) -> dict[str, str]:
    """Take a waiting message back into the composer."""
    number = whole(data, "number")
    talk = await talk_of(desk, session_id)
    return {"text": (await talk.unqueue(-1 if number is None else number)).text}


@post("/chat/{session_id:str}/stop", include_in_schema=False, status_code=204)
async def stop(desk: Desk, session_id: FromPath[str]) -> None:
    """End the turn with its agent and every process of it."""
    await (await talk_of(desk, session_id)).stop()


@post("/chat/{session_id:str}/resume", include_in_schema=False, status_code=204)
async def resume(desk: Desk, session_id: FromPath[str]) -> None:
    """Go on with a turn that was interrupted or paused."""
    (await talk_of(desk, session_id)).resume()


@post("/chat/{session_id:str}/draft", include_in_schema=False, status_code=204)
async def confirm(desk: Desk, session_id: FromPath[str], data: Form) -> None:
    """Accept the draft as it stands in the form, or decline it."""
    talk = await talk_of(desk, session_id)
    spec = talk.draft.spec
    talk.confirm(None if data.get("answer") == "decline" or spec is None else draft_of(spec, data))


async def _earlier(desk: Desk, seen: Glance, before: int) -> Response[str]:
    loaded = await of_session(desk.kernel.journal, seen.session.id, turns=TURNS_SHOWN, before=before)
    return part(desk, "chat/earlier.html", session=seen.session, **await _drawn(desk, seen, loaded))


async def _drawn(desk: Desk, seen: Glance, loaded: Loaded) -> dict[str, Any]:
    """What a page has of turns: their HTML, and the entry that earlier ones are before; 0 where there are none."""
    house = desk.house
    drawing = Drawing(house.kernel, house.asker, house.views, seen.session, loaded.names)
    items = loaded.page.since(0)
    begun = min((item.first for item in items if item.turn), default=0)
    return {"html": await drawing.draw_slowly(items), "earlier": begun if loaded.earlier else 0}


async def _listed(desk: Desk, q: str = "", archived: str = "", shown: str = "", n: int = 0) -> dict[str, Any]:
    """What the list of sessions is drawn from; `more` is how many the list has when there are more to see."""
    limit = min(max(n, SESSIONS_SHOWN), LISTED_MAX)
    sessions = await _sessions(desk, q, archived, limit)
    more = limit + SESSIONS_SHOWN if len(sessions) >= limit and limit < LISTED_MAX and not q else 0
    return {"sessions": sessions, "q": q, "archived": archived, "shown": shown, "n": n, "more": more}


async def _sessions(desk: Desk, q: str, archived: str, limit: int) -> list[dict[str, Any]]:
    """The user's own: the pinned ones first, or those in which every word of `q` stands."""
    book = SessionBook(desk.kernel.journal, desk.user.principal)
    busy = set(desk.house.conversations.busy_ids(desk.user.principal))
    asks = await _asking(desk)
    snippets: dict[str, str] = {}
    if asked_terms(q):
        found = await book.search(q, limit=SESSIONS_SHOWN)
        rows = [one.row for one in found]
        snippets = {str(one.row["id"]): one.snippet for one in found}
    else:
        rows = list((await book.page("archived" if archived else "active", limit=limit)).rows)
    return [
        {
            **row,
            "title": row["name"] or row["opening"] or "New session",
            "busy": row["id"] in busy,
            "asks": row["id"] in asks,
            "snippet": snippets.get(str(row["id"]), ""),
        }
        for row in rows
    ]


async def _asking(desk: Desk) -> set[str]:
    """The user's sessions that wait for them: an approval, an agent's question, what is asked before it begins."""
    house = desk.house
    pending = await desk.rows("approvals", {"status": "pending"}, limit=APPROVALS_READ)
    runs = [str(row["run"]) for row in pending if row["run"]] + list(house.asker.asking())
    return {*house.conversations.asking_ids(desk.user.principal), *(house.hub.account(run) for run in runs)}


async def _choices(desk: Desk) -> dict[str, Any]:
    """What the composer's pickers offer: each what is sent, and its words."""
    settings = desk.kernel.settings
    return {
        "personas": [(one.id, one.name) for one in load_personas(settings.home).values() if one.enabled],
        "models": [(name, name) for name in configured(settings)],
        "modes": [(name, name) for name in APPROVALS[1:]],
    }


ROUTES = [index, begin, new, show, events, say, unqueue, stop, resume, confirm, *acts.ROUTES]
