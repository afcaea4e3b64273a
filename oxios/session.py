"""Opening the kernel for one command: settings, the person's principal, the terminal as asker.

Guarantees: errors that a task group collected come out as the one that says what was wrong; Ctrl-C,
SIGTERM and a terminal that hangs up end the kernel in order: runs are recorded as interrupted and the
journal is flushed. Where a server has the home, the same command runs in it, as this terminal's.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kernel.errors import NotFound
from kernel.ids import Digest, Principal, user
from oxios import collector
from oxios.frame import colour_wanted, resolved_for, settings_for
from oxios.login import login_name
from oxios.seat import current, original
from oxios.signals import ended_in_order

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.gate.asker import Asker
    from kernel.journal.appender import Reader
    from kernel.journal.entry import Entry
    from kernel.journal.log import Journal
    from kernel.journal.projection import Scalar
    from kernel.ports.store import Filter
    from kernel.settings import Settings


def operator() -> Principal:
    """The person at this terminal: the operating system's user."""
    name = re.sub(r"[^A-Za-z0-9._@-]", "_", login_name())[:64]
    return user(name.lstrip("._@-") or "operator")


def run_kernel(args: argparse.Namespace, body: Callable[[Kernel], Awaitable[int]], *, listen: bool = False) -> int:
    """Open the kernel, run `body` in it, close it; with `listen`, the terminal answers questions.

    Where a server works in the home, it is told to carry the command out instead, as it was called.
    Raises: InstanceLocked, and whatever `body` raises.
    """
    settings = settings_for(args)
    code = _in_server(args, settings, body, listen=listen)
    if code is not None:
        return code
    import anyio  # noqa: PLC0415 -- commands that only print start without it

    from kernel.boot import open_kernel  # noqa: PLC0415 -- the kernel's imports are most of a command's start
    from kernel.gate.asker import Nobody  # noqa: PLC0415 -- as above
    from ouroboros.projection import PROJECTORS  # noqa: PLC0415 -- as above

    async def main() -> int:
        loop_runs()
        asker = _terminal(args) if listen else Nobody()
        async with open_kernel(
            settings,
            operator=operator(),
            asker=asker,
            more_projectors=PROJECTORS,
            reload_settings=lambda: resolved_for(args),
        ) as kernel:
            collector.started()
            return await body(kernel)

    with ended_in_order() as loop_runs:
        return anyio.run(main)


def run_journal(args: argparse.Namespace, body: Callable[[Journal], Awaitable[int]]) -> int:
    """Run `body` with the journal, for writing: a server's own, else without a kernel, which may not start.

    Raises: InstanceLocked, JournalDown, and whatever `body` raises.
    """
    settings = settings_for(args)
    code = _in_server(args, settings, lambda kernel: body(kernel.journal))
    if code is not None:
        return code
    import anyio  # noqa: PLC0415 -- commands that only print start without it

    from kernel.boot import projectors  # noqa: PLC0415 -- as above
    from kernel.clock import SystemClock  # noqa: PLC0415 -- as above
    from kernel.journal.lock import instance_lock  # noqa: PLC0415 -- as above
    from kernel.journal.log import open_journal  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- as above
    from ouroboros.projection import PROJECTORS  # noqa: PLC0415 -- as above

    async def main() -> int:
        store = make_store(settings)
        async with open_journal(store, settings.home, SystemClock(), projectors(PROJECTORS)) as journal:
            return await body(journal)
        raise AssertionError("a journal does not swallow errors")

    with instance_lock(settings.home):
        return anyio.run(main)


def _in_server(
    args: argparse.Namespace, settings: Settings, body: Callable[[Kernel], Awaitable[int]], *, listen: bool = False
) -> int | None:
    """The exit code, where a server has the home: it carries the command out; None where none has it."""
    seat = current()
    if seat is not None:
        return seat.carry(settings, body, listen=listen)
    from oxios.wire import reach  # noqa: PLC0415 -- as above

    server = reach(settings.home) if original(args) is not None else None
    if server is None:
        return None
    from oxios.beside import carried  # noqa: PLC0415 -- as above

    return carried(args, server, settings.home, _terminal(args) if listen else None)


def _terminal(args: argparse.Namespace) -> Asker:
    """The terminal as asker; what is painted for this command from now on waits while a question stands."""
    from oxios.curtain import Curtain  # noqa: PLC0415 -- as above
    from oxios.prompt import TerminalAsker  # noqa: PLC0415 -- as above

    args.curtain = curtain = getattr(args, "curtain", None) or Curtain()
    plain = not colour_wanted(args, sys.stderr)
    return TerminalAsker(pause=curtain.draw, go_on=curtain.open, no_color=plain)


def read_journal(args: argparse.Namespace, body: Callable[[Reader], Awaitable[int]]) -> int:
    """Read the journal beside whoever writes it; a home in which nothing was done yet has an empty one.

    Raises: JournalDown, where it cannot be read.
    """
    import anyio  # noqa: PLC0415 -- commands that only print start without it

    from kernel.journal.view import open_view  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- as above

    settings = settings_for(args)

    async def main() -> int:
        if nothing_yet(settings):
            return await body(NothingYet())
        async with open_view(make_store(settings)) as view:
            return await body(view)

    return anyio.run(main)


def nothing_yet(settings: Settings) -> bool:
    """Whether no Oxios ever worked in the home."""
    return not settings.journal.url and not (settings.home / "journal").exists()


class NothingYet:
    """The journal of a home before its first run. Implements `kernel.journal.appender.Reader`."""

    async def read(
        self,
        *,
        stream: str | None = None,  # noqa: ARG002 -- the port's form
        kind: str | None = None,  # noqa: ARG002 -- as above
        principal: Principal | None = None,  # noqa: ARG002 -- as above
        after: int = 0,  # noqa: ARG002 -- as above
        limit: int = 1000,  # noqa: ARG002 -- as above
    ) -> list[Entry]:
        return []

    async def latest(self, stream: str, *, before: int = 0, limit: int = 1000) -> list[Entry]:  # noqa: ARG002 -- the port's form
        return []

    async def rows(
        self,
        table: str,  # noqa: ARG002 -- the port's form
        where: Filter | None = None,  # noqa: ARG002 -- as above
        *,
        order: str = "",  # noqa: ARG002 -- as above
        descending: bool = False,  # noqa: ARG002 -- as above
        limit: int = 1000,  # noqa: ARG002 -- as above
        after: tuple[Scalar, Scalar] | None = None,  # noqa: ARG002 -- as above
    ) -> list[dict[str, Scalar]]:
        return []

    async def said(
        self,
        owner: Principal,  # noqa: ARG002 -- the port's form
        terms: tuple[str, ...],  # noqa: ARG002 -- as above
        *,
        before: int = 0,  # noqa: ARG002 -- as above
        limit: int = 100,  # noqa: ARG002 -- as above
    ) -> list[tuple[int, str]]:
        return []

    async def blob(self, digest: Digest) -> bytes:
        raise NotFound(f"there is no blob {digest}", remedy="nothing was stored in this home yet")


def in_use(args: argparse.Namespace) -> bool:
    """Whether an Oxios works in the home now."""
    from kernel.errors import InstanceLocked  # noqa: PLC0415 -- as above
    from kernel.journal.lock import instance_lock  # noqa: PLC0415 -- as above

    try:
        with instance_lock(settings_for(args).home):
            return False
    except InstanceLocked:
        return True
