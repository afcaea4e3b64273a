"""From OpenAI's messages to a turn: the new message, what came before it, and the session that takes it.

Guarantees: instructions and a past that is not on record here are shown to the agent as quoted text; images
come as bytes in the request, nothing is fetched.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kernel.engine.report import configured
from kernel.engine.routes import model_of_run
from kernel.errors import Invalid, NotFound
from kernel.persona import load_personas
from kernel.ports.provider import Attachment
from kernel.runtime.attached import attachment_of, check_together
from ouroboros.cycle import check_message
from ouroboros.session import Session
from ouroboros.sessiondesk import SessionDesk
from webui.beginning import Beginning, begin_session
from webui.desk import Desk
from webui.openai.forms import AssistantMessage, CompletionIn, ImagePart, Message, SystemMessage, TextPart, UserMessage
from webui.openai.threads import SYSTEM, Said, Threads

OWN: Final = "oxios/"
_KINDS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request comes to. `before` is what was said before `text`, instructions first."""

    text: str
    attached: tuple[Attachment, ...]
    before: tuple[Said, ...]
    model: str
    persona: str
    unused: list[str]
    """Fields of the request that have no effect."""

    @property
    def instructions(self) -> str:
        """What an agent is shown at every turn: sessions keep what was said, not what came with it."""
        told = [text for role, text in self.before if role == SYSTEM]
        return "\n".join(["Instructions of the program that speaks for the user:", *told]) if told else ""

    @property
    def context(self) -> str:
        """What an agent is shown that was not there."""
        past = [f"{role}: {text}" for role, text in self.before if role != SYSTEM]
        parts = [self.instructions, "\n".join(["What was said before:", *past]) if past else ""]
        return "\n".join(part for part in parts if part)

    @property
    def goes_on(self) -> bool:
        """Whether anything was said before but instructions."""
        return any(role != SYSTEM for role, _ in self.before)


def wanted_of(desk: Desk, asked: CompletionIn) -> Wanted:
    """Raises: NotFound (model); Invalid (no new message, an image that is none); AttachmentRefused."""
    persona, model = chosen(desk, asked.model)
    end = len(asked.messages)
    while end and isinstance(asked.messages[end - 1], UserMessage):
        end -= 1
    new = [one for one in asked.messages[end:] if isinstance(one, UserMessage)]
    if not new:
        raise Invalid("the last message is not the user's", remedy="end with a message of role user")
    text = "\n\n".join(_text(one) for one in new)
    check_message(text)
    attached = tuple(_image(part) for one in new for part in _images(one))
    check_together(attached)
    if attached:
        of_persona = load_personas(desk.kernel.settings.home)[persona].model if persona else ""
        wanted = model_of_run(model or of_persona, persona, desk.kernel.settings)
        desk.kernel.supervisor.desk.admit(wanted, persona, attached)
    return Wanted(text, attached, tuple(_said(one) for one in asked.messages[:end]), model, persona, asked.unused)


def chosen(desk: Desk, name: str) -> tuple[str, str]:
    """Persona and model that a model's name stands for. Raises: NotFound."""
    if name.startswith(OWN):
        model = name.removeprefix(OWN)
        desk.kernel.supervisor.desk.provider_of(model)
        return "", model
    known = load_personas(desk.kernel.settings.home)
    if name not in known or not known[name].enabled:
        raise NotFound(f"there is no model {name[:80]!r}", remedy="GET /v1/models lists personas and models")
    return name, ""


def offered(desk: Desk) -> list[str]:
    """Names that `chosen` takes: personas, and the models that the settings name."""
    personas = [one.id for one in load_personas(desk.kernel.settings.home).values() if one.enabled]
    return [*personas, *(f"{OWN}{name}" for name in configured(desk.kernel.supervisor.desk.engine.settings))]


async def session_of(desk: Desk, threads: Threads, wanted: Wanted) -> tuple[Session, str]:
    """The session that takes the message, and what is to be shown to its agent.

    Raises: Invalid, NotFound, Conflict, JournalDown.
    """
    place = await threads.find(desk.user.principal, wanted.before) if wanted.goes_on else None
    acts = SessionDesk(desk.kernel, desk.user.principal)
    if place is not None:
        talk = desk.house.conversations.of(await desk.session(place.session))
        session = talk.session
        last = session.turns[-1].number if session.turns else 0
        if session.deleted or not any(turn.number == place.turn for turn in session.turns):
            place = None
        elif talk.busy or last != place.turn:
            session = await acts.fork(session, place.turn)
            await acts.switch(session, model=wanted.model, persona=wanted.persona)
            return session, wanted.instructions
        else:
            await acts.switch(session, model=wanted.model, persona=wanted.persona)
            return session, wanted.instructions
    session = await begin_session(desk, Beginning(model=wanted.model, persona=wanted.persona))
    return session, wanted.context


def _said(message: Message) -> Said:
    role = SYSTEM if isinstance(message, SystemMessage) else message.role
    called = message.tool_calls if isinstance(message, AssistantMessage) else None
    calls = [f"[called {json.dumps(one, ensure_ascii=False)}]" for one in called or ()]
    return role, "\n".join(part for part in (_text(message), *calls) if part)


def _text(message: Message) -> str:
    content = message.content
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text for part in content if isinstance(part, TextPart))


def _images(message: UserMessage) -> Sequence[ImagePart]:
    return [] if isinstance(message.content, str) else [one for one in message.content if isinstance(one, ImagePart)]


def _image(part: ImagePart) -> Attachment:
    head, comma, data = part.image_url.url.partition(",")
    kind, _, coding = head.removeprefix("data:").partition(";")
    if not head.startswith("data:") or not comma or coding != "base64" or kind not in _KINDS:
        raise Invalid("an image is to be a data: URL of PNG, JPEG, GIF or WebP in base64", remedy="nothing is fetched")
    try:
        return attachment_of(f"image.{_KINDS[kind]}", b64decode(data, validate=True))
    except ValueError:
        raise Invalid("an image's base64 is broken", remedy="encode it anew") from None
