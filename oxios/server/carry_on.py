"""What a crash left behind, taken up by a server when it starts.

Guarantees: runs go on as at the start of any command (`oxios.recover`), and sessions whose turn was cut
off within RECENT_S go on with it, the run of that turn with it and not beside it; messages that wait are begun with
after it. A turn whose run was resumed RESUMES_MAX times waits for a person, and so does what waits behind it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from kernel.errors import OxiosError
from kernel.ids import Principal, RunId
from kernel.log import get_logger
from ouroboros import session as words
from ouroboros.seedbook import read_stream
from ouroboros.session import Session
from ouroboros.sessionbook import SessionBook
from oxios.recover import RESUMES_MAX, go_on

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from kernel.boot import Kernel
    from kernel.journal.projection import Scalar
    from webui.conversations import Conversations

RECENT_S: Final = 24 * 3600
SESSIONS_LOOKED_AT: Final = 50
_MICRO: Final = 1_000_000
_log = get_logger("carry_on")


async def carry_on(kernel: Kernel, talks: Conversations, args: argparse.Namespace, tasks: TaskGroup) -> None:
    """Begin all of it; it ends in `tasks`. Raises: JournalDown."""
    taken: list[RunId] = []
    for session in await cut_off(kernel):
        if session.turn is not None and session.turn.status == "paused":
            talks.of(session)  # Open, so that who looks sees what waits.
            continue
        run = await _run_of(kernel, session)
        if run and (await kernel.runs.state(run)).resumes >= RESUMES_MAX:
            _log.warning("turn_left", session=session.id, why="it was interrupted again and again")
        elif talks.of(session).resume():
            _log.info("turn_resumed", session=session.id)
            taken.append(run)
    await go_on(kernel, args, tasks, but=taken)


async def _run_of(kernel: Kernel, session: Session) -> RunId:
    """The run of the open turn; empty where it has none yet. The turn itself says which only when that has ended."""
    current = session.turn.current if session.turn is not None else None
    if current is None or current.run:
        return RunId(current.run if current is not None else "")
    rows = await kernel.journal.rows("runs", {"seed": current.seed.id}, order="started_us", limit=1)
    return RunId(str(rows[0]["id"])) if rows else RunId("")


async def cut_off(kernel: Kernel) -> list[Session]:
    """Sessions with an open turn or messages that wait, of those that changed lately."""
    since_us = kernel.clock.now_us() - RECENT_S * _MICRO
    rows = await kernel.journal.rows(
        "sessions", {"status": "active"}, order="updated_us", descending=True, limit=SESSIONS_LOOKED_AT
    )
    recent = [row for row in rows if int(row["updated_us"] or 0) >= since_us]
    return [session for row in recent if (session := await _open_turn(kernel, row)) is not None]


async def _open_turn(kernel: Kernel, row: dict[str, Scalar]) -> Session | None:
    """The session, where its newest turn has no reply; it is read whole only then."""
    session = RunId(str(row["id"]))
    try:
        said = await read_stream(kernel.journal, session, words.MESSAGE)
        newest = next((each.payload for each in reversed(said) if (each.payload or {}).get("as") != "steer"), None)
        ended = newest is None or newest["as"] == "reply"
        if ended and not await read_stream(kernel.journal, session, words.QUEUED):
            return None
        found = await SessionBook(kernel.journal, Principal(str(row["owner"]))).read(session)
    except OxiosError as error:
        _log.warning("session_left", session=session, why=error.explain())
        return None
    return found if found.waiting or (found.turn is not None and found.turn.status == "open") else None
