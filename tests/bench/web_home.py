"""A home with a past: one session of many turns, and many sessions, written in bulk.

Guarantees: the long session's turns are copies of one that a real kernel carried out, tool calls and all, each
with ids of its own; what the pages read is what the journal's own projectors made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import anyio

from kernel.boot import Kernel
from kernel.directive import Budget, Mount
from kernel.ids import Principal, new_id
from kernel.journal.entry import Draft, Entry
from kernel.testing.provider import Turn, call, say
from ouroboros.sessionbook import Making, create
from tests.cycle_world import TRIVIAL, told
from tests.web.talk_world import TalkWorld, open_talks
from tests.world import MODEL, OWNER
from webui.queued import Said

GOAL: Final = "Write the notes of this week into a.txt, list the folder, and read back what stands there now. " * 2
SCRIPT: Final[Sequence[Turn]] = (
    told(TRIVIAL),
    call("write", path="a.txt", content="One line of the notes.\n" * 40),
    call("exec", argv=["ls", "-la"]),
    call("read", path="a.txt"),
    say("The notes are written. " + "Each line says what was done that day and what is left of it. " * 8),
)
MESSAGES_EACH: Final = 26
WORDS: Final = ("lantern", "harbour", "meadow", "copper", "winter", "signal", "bridge", "orchard", "quarry", "ember")
_AT_ONCE: Final = 4_000
_IDS: Final = re.compile(r"(?<![0-9a-z])([a-z])([0-9a-z]{9})-([0-9a-z]{7})")


async def fill(root: Path, *, turns: int, sessions: int) -> str:
    """Make `root`'s home; the long session's id. Raises: RuntimeError, where the turn that is copied went wrong."""
    async with open_talks(root, SCRIPT) as world:
        long = await lengthen(world, turns)
        await _many(world.kernel, world.workspace, sessions)
    return long


async def lengthen(world: TalkWorld, turns: int) -> str:
    """A session of so many turns; the model plays SCRIPT for the first."""
    kernel = world.kernel
    talk = await world.talk()
    before = kernel.journal.size
    await talk.say(Said(GOAL, key="first"))
    await talk.wait()
    await kernel.journal.flush()
    if talk.session.turns[-1].status != "done":
        raise RuntimeError(f"the first turn is {talk.session.turns[-1].status}")
    whole = await kernel.journal.read(after=before)
    entries = [entry for entry in whole if not entry.kind.startswith("budget.")]
    held = [str(row["id"]) for row in await kernel.journal.rows("capabilities", {"holder": OWNER})]
    for number in range(2, turns + 1):
        same = {name: name for name in (talk.session.id, *held)}
        for draft in _copies(entries, same, number, kernel.clock.now_us()):
            kernel.journal.append(draft)
        if number * len(entries) % _AT_ONCE < len(entries):
            await kernel.journal.flush()
    await kernel.journal.flush()
    return talk.session.id


def _copies(entries: Sequence[Entry], names: dict[str, str], number: int, now_us: int) -> Iterator[Draft]:
    """The entries of a turn as those of turn `number`: every id that `names` does not know yet is new."""

    def renamed(text: str) -> str:
        return _IDS.sub(lambda found: names.setdefault(found.group(), new_id(found[1], now_us)), text)

    for entry in entries:
        payload = json.loads(renamed(json.dumps(entry.payload)))
        if "turn" in payload:
            payload["turn"] = number
        if "key" in payload and entry.kind == "session.message":
            payload["key"] = f"key-{number}"
        yield Draft(Principal(renamed(entry.principal)), renamed(entry.stream), entry.kind, payload)


async def _many(kernel: Kernel, workspace: Path, sessions: int) -> None:
    """Sessions of MESSAGES_EACH messages, with words that can be looked for."""
    making = Making(OWNER, (Mount(str(workspace)),), model=MODEL, budget=Budget())
    for number in range(sessions):
        session = await create(kernel.journal, making, kernel.clock.now_us())
        for at in range(MESSAGES_EACH):
            word = WORDS[(number + at) % len(WORDS)]
            said = "goal" if at % 2 == 0 else "reply"
            text = f"{word} {number}: what stands at the {WORDS[(number * 7 + at) % len(WORDS)]} {at} " * 3
            payload = {"turn": at // 2 + 1, "as": said, "role": "user" if said == "goal" else "assistant", "text": text}
            more = {"status": "done"} if said == "reply" else {"key": f"{number}-{at}"}
            kernel.journal.append(Draft(OWNER, session.id, "session.message", {**payload, **more}))
    await kernel.journal.flush()


if __name__ == "__main__":
    import sys

    folder, how_many_turns, how_many_sessions = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    print(anyio.run(lambda: fill(Path(folder), turns=int(how_many_turns), sessions=int(how_many_sessions))))
