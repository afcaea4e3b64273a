"""A home in which work of every kind was done: what the pages show when they have something to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio

from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.errors import Invalid
from kernel.ids import RunId
from kernel.ports.provider import Attachment
from kernel.testing.provider import Turn, call, say
from ouroboros.execute import Commission, carry_out
from ouroboros.seed import Seed, SeedSpec
from ouroboros.sessionbook import Making, create
from tests.cycle_world import TRIVIAL, told
from tests.web.browser import Site
from tests.world import MODEL, OWNER
from webui.queued import Said

WAIT_S: Final = 20
Say = Callable[[str], str]
"""What stands in a field, from what stands there in a home of plain words."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Where each kind of thing is found."""

    finished: RunId
    failed: RunId
    denied: RunId
    waiting: RunId
    first_seed: str
    second_seed: str
    session: RunId
    approval: str
    capability: str
    entry: int

    @property
    def pages(self) -> dict[str, str]:
        """The detail pages, by what they show."""
        return {
            "a run that finished": f"/runs/{self.finished}",
            "a run that failed": f"/runs/{self.failed}",
            "a run with a denied call": f"/runs/{self.denied}",
            "a run that waits": f"/runs/{self.waiting}",
            "two runs": f"/runs/{self.finished}/compare/{self.denied}",
            "a seed": f"/seeds/{self.first_seed}",
            "its child": f"/seeds/{self.second_seed}",
            "a session": f"/chat/{self.session}",
            "an approval": f"/approvals/{self.approval}",
            "all approvals": "/approvals?all=true",
            "a capability": f"/capabilities/{self.capability}",
            "an entry": f"/audit/{self.entry}",
        }


def plainly(text: str) -> str:
    return text


def script_of(word: Say = plainly) -> list[Turn]:
    """What the model says, in the order of `fill`."""
    return [
        Turn(
            text=word("I write it down."),
            reasoning=word("A file will do."),
            calls=call("write", path="notes.md", content=word("one\ntwo\n")).calls,
        ),
        call("exec", argv=["echo", word("all is well")]),
        say(f"The notes are **written**. {word('Nothing else was done.')}"),
        Turn(error=Invalid(word("the model is not there"), remedy=word("choose another"))),
        call("read", path="/etc/passwd"),
        call("read", path=word("nowhere.txt")),
        say(word("I may not.")),
        say(word("Here is what I know.")),
        call("write", path="summary.md", content=word("All of it.")),
        say(word("Summarised.")),
        told(TRIVIAL),
        call("exec", argv=["printf", "%s", word("4 files")]),
        say(word("There are four files.")),
        call("exec", argv=["rm", "-f", word("old.txt").replace("\0", "")]),
    ]


async def fill(site: Site, word: Say = plainly) -> Filled:
    """Carry it all out, with the model that plays `script_of`; the last run waits for an approval."""
    finished = await carried_out(site, word("Write notes about this folder"))
    failed = await carried_out(site, word("Ask a model that fails"))
    denied = await carried_out(site, word("Look where you may not"))
    first = await _seed(site, word)
    second = first.evolved(site.kernel.clock.now_us(), constraints=(word("Write it to summary.md"),))
    await _carry(site, second, word)
    session = await _session(site, word)
    waiting = await begin(site, word("Tidy up"), approve="manual")
    approval = await approval_of(site, waiting)
    await site.kernel.journal.flush()
    held = site.kernel.capabilities.held(OWNER)
    entries = await site.kernel.journal.read(stream=finished, kind="call.outcome")
    return Filled(finished, failed, denied, waiting, first.id, second.id, session, approval, held[0].id, entries[0].seq)


async def begin(site: Site, goal: str, *, approve: str = "auto", budget: Budget | None = None) -> RunId:
    """A run of the operator's, whose model plays the script."""
    env = ExecEnv(mounts=(Mount(str(site.workspace)),), model=MODEL, budget=budget or Budget())
    return await site.kernel.runs.start(Directive(goal), env, owner=OWNER, approve=approve)


async def carried_out(site: Site, goal: str = "do it") -> RunId:
    """A run that is over."""
    run = await begin(site, goal)
    await site.kernel.runs.wait(run)
    return run


async def _seed(site: Site, word: Say) -> Seed:
    spec = SeedSpec(
        goal=word("Summarise the notes"),
        constraints=(word("Be brief"),),
        criteria=("file exists: summary.md", f"output contains: {word('Summarised')}"),
        model=MODEL,
    )
    seed = Seed.new(spec, site.kernel.clock.now_us())
    await _carry(site, seed, word)
    return seed


async def _carry(site: Site, seed: Seed, word: Say) -> None:
    mounts = (Mount(str(site.workspace)),)
    work = Commission(seed, OWNER, mounts, approve="auto", source=word("submitted by tester"))
    await carry_out(site.kernel, work)


async def _session(site: Site, word: Say) -> RunId:
    making = Making(OWNER, (Mount(str(site.workspace)),), name=_one_line(word("Counting")), model=MODEL, approve="auto")
    session = await create(site.kernel.journal, making, site.kernel.clock.now_us())
    talk = site.house.conversations.of(session)
    notes = Attachment("text/plain", b"a\nb\n", _one_line(word("list.txt")))
    await talk.say(Said(word("How many files are there?"), attached=(notes,)))
    await talk.wait()
    return session.id


def _one_line(text: str) -> str:
    """As names are: without controls, and short."""
    return "".join(char for char in text if char.isprintable())[:80].strip()


async def approval_of(site: Site, run: RunId) -> str:
    """What the run waits for."""
    with anyio.fail_after(WAIT_S):
        while True:
            rows = await site.kernel.journal.rows("approvals", {"run": run, "status": "pending"})
            if rows:
                return str(rows[0]["id"])
            await anyio.sleep(0.01)
