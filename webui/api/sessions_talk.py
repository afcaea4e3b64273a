"""What is said in a session: messages, drafts, answers, files, stopping and going on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kernel.runtime.attached import attachment_of
from webui import runs_view
from webui.desk import Desk
from webui.pages.chat.acts import talk_of
from webui.pages.chat.drafted import changed
from webui.queued import Said
from webui.rest.operation import operation
from webui.rest.sessions import AnswerBody, Became, DraftIn, ResayIn, RewindIn, SayIn, SessionOut, session_out
from webui.rest.shapes import Asked, Id, Message, Shape
from webui.security.limits import UPLOAD_BYTES_MAX


class FileQuery(Asked):
    name: Annotated[str, Field(min_length=1, max_length=200, description="The file's name.", examples=["notes.md"])]


class Kept(Shape):
    """A file that waits for its message: name its `id` in `attach`."""

    id: str
    name: str
    size_bytes: int


@operation("POST", "/api/sessions/{session}/messages", "sessions_say", scope="run", status=202, once=True)
async def sessions_say(desk: Desk, session: Id, body: SayIn) -> Became:
    """Say something: it begins a turn, answers a question, steers the agent at work, or waits."""
    talk = await talk_of(desk, session)
    became = await talk.say(Said(body.text, key=body.key), queue=body.queue, attach=body.attach)
    return Became.model_validate({"became": became})


@operation("POST", "/api/sessions/{session}/edit", "sessions_resay", scope="run", status=202)
async def sessions_resay(desk: Desk, session: Id, body: ResayIn) -> Became:
    """Say a turn anew; it and what came after it leave the conversation, not the record."""
    talk = await talk_of(desk, session)
    return Became.model_validate({"became": await talk.edit(body.turn, Said(body.text, key=body.key))})


@operation("POST", "/api/sessions/{session}/rewind", "sessions_rewind", scope="run")
async def sessions_rewind(desk: Desk, session: Id, body: RewindIn) -> SessionOut:
    """Leave what came after a turn out of the conversation; it stays on record, and files stay as they are."""
    talk = await talk_of(desk, session)
    await talk.rewind(body.turn)
    return session_out(desk, talk.session)


@operation("POST", "/api/sessions/{session}/stop", "sessions_stop", scope="run")
async def sessions_stop(desk: Desk, session: Id) -> SessionOut:
    """End the turn under way, with its agent and every process of it."""
    talk = await talk_of(desk, session)
    await talk.stop()
    return session_out(desk, talk.session)


@operation("POST", "/api/sessions/{session}/resume", "sessions_resume", scope="run")
async def sessions_resume(desk: Desk, session: Id) -> Message:
    """Go on with a turn that was interrupted or paused."""
    begun = (await talk_of(desk, session)).resume()
    return Message(message="the turn goes on" if begun else "there was nothing to go on with")


@operation("POST", "/api/sessions/{session}/draft", "sessions_draft", scope="run")
async def sessions_draft(desk: Desk, session: Id, body: DraftIn) -> Message:
    """Accept the Seed that waits, as it is or changed; or decline it."""
    talk = await talk_of(desk, session)
    spec = talk.draft.spec
    given = {key: value for key, value in body.model_dump(exclude={"accept"}).items() if value is not None}
    talk.confirm(changed(spec, given) if body.accept and spec is not None else None)
    return Message(message="accepted" if body.accept else "declined")


@operation("POST", "/api/sessions/{session}/answer", "sessions_answer", scope="run")
async def sessions_answer(desk: Desk, session: Id, body: AnswerBody) -> Message:
    """Answer what an agent asked."""
    await desk.session(session)
    await runs_view.answer(desk, body.run, body.text)
    return Message(message="answered")


@operation("DELETE", "/api/sessions/{session}/queue/{number}", "sessions_unqueue", scope="run")
async def sessions_unqueue(desk: Desk, session: Id, number: Annotated[int, Field(ge=0, le=100)]) -> Message:
    """Take back a message that waits; they are numbered from 0. The answer is its text."""
    return Message(message=(await (await talk_of(desk, session)).unqueue(number)).text)


@operation(
    "POST",
    "/api/sessions/{session}/attachments",
    "sessions_attach",
    scope="run",
    status=201,
    body_bytes_max=UPLOAD_BYTES_MAX,
)
async def sessions_attach(desk: Desk, session: Id, query: FileQuery, content: bytes) -> Kept:
    """Keep a file for the next message: its bytes are the body."""
    attachment = attachment_of(query.name, content)
    name = (await talk_of(desk, session)).uploads.keep(attachment)
    return Kept(id=name, name=attachment.name, size_bytes=len(attachment.data))


ROUTES = [
    sessions_say,
    sessions_resay,
    sessions_rewind,
    sessions_stop,
    sessions_resume,
    sessions_draft,
    sessions_answer,
    sessions_unqueue,
    sessions_attach,
]
