"""The words of a chat that begin with a slash: one function each, found by its name.

Guarantees: a word that is none is answered with the nearest one; nothing that was typed as a word is
sent to a model.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from kernel.errors import Invalid, NotFound
from ouroboros.cycle import Cycle, TurnResult
from ouroboros.session import Session
from ouroboros.sessionbook import SessionBook, check_name
from ouroboros.sessiondesk import SessionDesk
from oxios.frame import say
from oxios.paint import one_line

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.journal.projection import Scalar

_SHOWN_CHARS: Final = 60


class Chatting(Protocol):
    """`oxios.chat.Chat`, as far as its words need it."""

    kernel: Kernel
    session: Session
    cycle: Cycle

    @property
    def desk(self) -> SessionDesk: ...

    async def enter(self, session: Session) -> None: ...

    async def begin_new(self, name: str) -> None: ...

    async def carry(self, going: Callable[[], Awaitable[TurnResult | None]]) -> None: ...

    def refuse_while_busy(self, what: str) -> None: ...

    def attach(self, name: str) -> None: ...

    async def later(self, message: str) -> None: ...

    async def stop(self) -> None: ...

    def leave(self) -> None: ...


async def obey(chat: Chatting, line: str) -> None:
    """Do what a line that begins with a slash says. Raises: NotFound, where there is no such word."""
    name, _, rest = line.strip()[1:].partition(" ")
    found = WORDS.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), WORDS, n=1)
        remedy = f"did you mean /{near[0]}?" if near else "/help lists them"
        raise NotFound(f"there is no /{name}", remedy=remedy)
    await found[1](chat, rest.strip())


async def _help(_chat: Chatting, _rest: str) -> None:
    width = max(len(text) for text, _, _ in WORDS.values())
    lines = [f"{text:<{width}}  {does}" for text, _, does in WORDS.values()]
    say(
        "\n".join(
            [
                *lines,
                "anything else is a message; while an agent works, it hears it before its next reply",
                "what is pasted is one message, however many lines it has",
            ]
        )
    )


async def _new(chat: Chatting, rest: str) -> None:
    check_name(rest)
    await chat.begin_new(rest)


async def _sessions(chat: Chatting, rest: str) -> None:
    book = SessionBook(chat.kernel.journal, chat.kernel.operator)
    if rest:
        for found in await book.search(rest):
            say(f"{session_line(found.row)}\n      {one_line(found.snippet, 2 * _SHOWN_CHARS)}")
        return
    for row in await book.listed(limit=20):
        say(f"{'*' if row['id'] == chat.session.id else ' '} {session_line(row)}")


async def _switch(chat: Chatting, rest: str) -> None:
    await chat.enter(await SessionBook(chat.kernel.journal, chat.kernel.operator).find(rest))


async def _rename(chat: Chatting, rest: str) -> None:
    await chat.desk.rename(chat.session, rest)
    say(f"named {chat.session.name}" if chat.session.name else "it has no name any more")


async def _pin(chat: Chatting, _rest: str) -> None:
    await chat.desk.pin(chat.session, pinned=not chat.session.pinned)
    say("pinned: it stands first in the list" if chat.session.pinned else "not pinned any more")


async def _fork(chat: Chatting, rest: str) -> None:
    chat.refuse_while_busy("it can be forked")
    await chat.enter(await chat.desk.fork(chat.session, _number(rest)[0] if rest else None))


async def _rewind(chat: Chatting, rest: str) -> None:
    chat.refuse_while_busy("it can be rewound")
    turn, _ = _number(rest)
    await chat.desk.rewind(chat.session, turn)
    say(f"goes on after turn {turn}; files are as later turns left them")


async def _edit(chat: Chatting, rest: str) -> None:
    turn, message = _number(rest)
    await chat.carry(lambda: chat.desk.edit(chat.cycle, turn, message))


async def _retry(chat: Chatting, _rest: str) -> None:
    await chat.carry(chat.cycle.retry)


def _number(rest: str) -> tuple[int, str]:
    """A turn's number, and what follows it. Raises: Invalid."""
    first, _, more = rest.partition(" ")
    if not first.isascii() or not first.isdigit():
        raise Invalid(f"{first!r} is no turn's number", remedy="turns are numbered from 1")
    return int(first), more.strip()


async def _persona(chat: Chatting, rest: str) -> None:
    if rest:
        await chat.desk.switch(chat.session, persona="" if rest == "none" else rest)
    say(f"persona: {chat.session.persona or 'none'}")


async def _model(chat: Chatting, rest: str) -> None:
    if rest:
        await chat.desk.switch(chat.session, model=rest)
    say(f"model: {chat.cycle.model_of_agent()}")


async def _attach(chat: Chatting, rest: str) -> None:
    chat.attach(rest)


async def _next(chat: Chatting, rest: str) -> None:
    await chat.later(rest)


async def _stop(chat: Chatting, _rest: str) -> None:
    await chat.stop()


async def _exit(chat: Chatting, _rest: str) -> None:
    chat.leave()


def session_line(row: Mapping[str, Scalar]) -> str:
    """One session of a list."""
    changed = datetime.fromtimestamp(int(row["updated_us"] or 0) / 1_000_000, tz=UTC).astimezone()
    name = str(row["name"]) or one_line(str(row["opening"]), _SHOWN_CHARS)
    return f"{row['id']}  {changed:%Y-%m-%d %H:%M}  {row['turns']:>3}  {name}"


WORDS: Final[dict[str, tuple[str, Callable[[Chatting, str], Awaitable[None]], str]]] = {
    "help": ("/help", _help, "this"),
    "new": ("/new [NAME]", _new, "begin another session here"),
    "sessions": ("/sessions [TEXT]", _sessions, "the newest sessions, or those in which TEXT stands"),
    "switch": ("/switch NAME|ID", _switch, "go on in another session"),
    "rename": ("/rename NAME", _rename, "name this session"),
    "pin": ("/pin", _pin, "list this session first, or not any more"),
    "fork": ("/fork [TURN]", _fork, "go on from a turn in a new session"),
    "rewind": ("/rewind TURN", _rewind, "leave the turns after it out of the conversation"),
    "edit": ("/edit TURN MESSAGE", _edit, "say a turn anew; it and what came after are rewound"),
    "retry": ("/retry", _retry, "try the phase again that the newest turn failed at"),
    "persona": ("/persona [NAME|none]", _persona, "say or change the persona"),
    "model": ("/model [PROVIDER/MODEL]", _model, "say or change the agent's model"),
    "attach": ("/attach [FILE|none]", _attach, "show a file with your next message; say or drop those that wait"),
    "next": ("/next MESSAGE", _next, "send it when the turn under way has ended"),
    "stop": ("/stop", _stop, "end the turn under way, as Ctrl-C does"),
    "exit": ("/exit", _exit, "leave; the session stays"),
}
