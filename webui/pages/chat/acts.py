"""What a person does to a session: name, pin, archive, delete and take back, fork, say a turn anew, switch.

Guarantees: each is an act of the session's owner, recorded in the session's own stream; what is deleted
comes back by `restore`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Response, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, FromQuery

from kernel.errors import Invalid
from kernel.runtime.attached import attachment_of
from ouroboros.session import Session
from ouroboros.sessiondesk import SessionDesk
from webui.beginning import require_worker
from webui.conversations import Conversation
from webui.desk import Desk
from webui.forms import Form, redirected, whole
from webui.queued import Said

SEVERAL_MAX: Final = 200
_SEVERAL: Final = {
    "archive": ("archived", "unarchive"),
    "unarchive": ("brought back from the archive", "archive"),
    "delete": ("deleted", "restore"),
    "restore": ("brought back", "delete"),
}
"""What is said of each act, and the one that takes it back."""
Upload = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)]


async def talk_of(desk: Desk, session_id: str) -> Conversation:
    """The user's own, to be talked in. Raises: AccessDenied, NotFound."""
    session = await desk.session(session_id)
    require_worker(desk)
    return desk.house.conversations.of(session)


@post("/chat/{session_id:str}/change", include_in_schema=False, status_code=204)
async def change(desk: Desk, session_id: FromPath[str], data: Form) -> None:
    """Persona, model and approval mode: from the next turn on."""
    acts, session = await _own(desk, session_id)
    await acts.switch(session, model=data.get("model"), persona=data.get("persona"), approve=data.get("approve"))


@post("/chat/{session_id:str}/rename", include_in_schema=False, status_code=204)
async def rename(desk: Desk, session_id: FromPath[str], data: Form) -> None:
    acts, session = await _own(desk, session_id)
    await acts.rename(session, data.get("name", "").strip())


@post("/chat/{session_id:str}/pin", include_in_schema=False, status_code=204)
async def pin(desk: Desk, session_id: FromPath[str]) -> None:
    """Pin it, or take the pin away."""
    acts, session = await _own(desk, session_id)
    await acts.pin(session, pinned=not session.pinned)


@post("/chat/{session_id:str}/archive", include_in_schema=False, status_code=204)
async def archive(desk: Desk, session_id: FromPath[str]) -> None:
    """Archive it, or bring it back."""
    acts, session = await _own(desk, session_id)
    await acts.archive(session, archived=not session.archived)


@post("/chat/{session_id:str}/delete", include_in_schema=False, status_code=200)
async def delete(desk: Desk, session_id: FromPath[str]) -> dict[str, str]:
    """Out of every list; the answer says where to take it back."""
    acts, session = await _own(desk, session_id)
    await _stopped(desk, session)
    await acts.delete(session)
    return {"message": "deleted", "undo": f"/chat/{session.id}/restore"}


@post("/chat/{session_id:str}/restore", include_in_schema=False)
async def restore(desk: Desk, session_id: FromPath[str]) -> Response[str]:
    """Take a deletion back."""
    acts, session = await _own(desk, session_id)
    await acts.restore(session)
    return redirected(f"/chat/{session.id}")


@post("/chat/several", include_in_schema=False, status_code=200)
async def several(desk: Desk, act: FromQuery[str], ids: FromQuery[str]) -> dict[str, str]:
    """The same act on several sessions, `ids` with commas between them; the answer says where to take it back."""
    if act not in _SEVERAL:
        raise Invalid(f"{act!r} is nothing to do with several sessions", remedy=f"one of {', '.join(_SEVERAL)}")
    chosen = list(dict.fromkeys(filter(None, ids.split(","))))
    if not 0 < len(chosen) <= SEVERAL_MAX:
        raise Invalid(f"{len(chosen)} sessions were chosen", remedy=f"choose 1 to {SEVERAL_MAX}")
    found = [await _own(desk, one) for one in chosen]
    for acts, session in found:
        if act == "delete":
            await _stopped(desk, session)
            await acts.delete(session)
        elif act == "restore":
            await acts.restore(session)
        else:
            await acts.archive(session, archived=act == "archive")
    done, undo = _SEVERAL[act]
    told = f"{len(found)} session{'' if len(found) == 1 else 's'} {done}"
    return {"message": told, "undo": f"/chat/several?act={undo}&ids={','.join(chosen)}"}


async def _stopped(desk: Desk, session: Session) -> None:
    talk = desk.house.conversations.of(session)
    if talk.busy:
        await talk.stop()


@post("/chat/{session_id:str}/fork", include_in_schema=False)
async def fork(desk: Desk, session_id: FromPath[str], data: Form) -> Response[str]:
    """A new session with the turns up to one of this."""
    acts, session = await _own(desk, session_id)
    forked = await acts.fork(session, whole(data, "turn"))
    return redirected(f"/chat/{forked.id}")


@post("/chat/{session_id:str}/rewind", include_in_schema=False, status_code=200)
async def rewind(desk: Desk, session_id: FromPath[str], data: Form) -> dict[str, str]:
    """Leave what came after a turn out of the conversation; it stays on record, and files stay as they are."""
    turn = whole(data, "turn")
    if turn is None:
        raise Invalid("the turn to go back to is missing", remedy="give its number")
    await (await talk_of(desk, session_id)).rewind(turn)
    return {"message": "the conversation was rewound"}


@post("/chat/{session_id:str}/edit", include_in_schema=False, status_code=202)
async def edit(desk: Desk, session_id: FromPath[str], data: Form) -> dict[str, str]:
    """Say a turn anew; it and what came after it leave the conversation, not the record."""
    turn = whole(data, "turn")
    said = Said(data.get("text", ""), key=data.get("key", "")[:64])
    if not said.text.strip() or turn is None:
        raise Invalid("what is to be said anew is missing", remedy="give the turn's number and a text")
    return {"became": await (await talk_of(desk, session_id)).edit(turn, said)}


@post("/chat/{session_id:str}/attach", include_in_schema=False, status_code=201)
async def attach(desk: Desk, session_id: FromPath[str], data: Upload) -> dict[str, Any]:
    """Keep a file for the next message; the answer names it."""
    file = data.get("file")
    if not isinstance(file, UploadFile):
        raise Invalid("no file was sent", remedy="send it as the part `file`")
    attachment = attachment_of(file.filename or "file", await file.read())
    name = (await talk_of(desk, session_id)).uploads.keep(attachment)
    return {"id": name, "name": attachment.name, "bytes": len(attachment.data)}


async def _own(desk: Desk, session_id: str) -> tuple[SessionDesk, Session]:
    """The acts, and the session as the conversation holds it. Raises: NotFound."""
    talk = await talk_of(desk, session_id)
    return SessionDesk(desk.kernel, desk.user.principal), talk.session


ROUTES = [change, rename, pin, archive, delete, several, restore, fork, rewind, edit, attach]
