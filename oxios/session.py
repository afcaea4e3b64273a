"""Opening the kernel for one command: settings, the person's principal, the terminal as asker.

Guarantees: errors that a task group collected come out as the one that says what was wrong; Ctrl-C
ends the kernel in order: runs are recorded as interrupted and the journal is flushed.
"""

from __future__ import annotations

import argparse
import getpass
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kernel.ids import Principal, user
from oxios.frame import settings_for

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.journal.appender import Reader


def operator() -> Principal:
    """The person at this terminal: the operating system's user."""
    name = re.sub(r"[^A-Za-z0-9._@-]", "_", getpass.getuser())[:64]
    return user(name.lstrip("._@-") or "operator")


def run_kernel(args: argparse.Namespace, body: Callable[[Kernel], Awaitable[int]], *, listen: bool = False) -> int:
    """Open the kernel, run `body` in it, close it; with `listen`, the terminal answers questions.

    Raises: InstanceLocked, and whatever `body` raises.
    """
    import anyio  # noqa: PLC0415 -- commands that only print start without it

    from kernel.boot import open_kernel  # noqa: PLC0415 -- the kernel's imports are most of a command's start
    from kernel.gate.asker import Nobody  # noqa: PLC0415 -- as above
    from ouroboros.seedbook import PROJECTORS  # noqa: PLC0415 -- as above

    settings = settings_for(args)

    async def main() -> int:
        if listen:
            from oxios.prompt import TerminalAsker  # noqa: PLC0415 -- rich is imported for a terminal only

            asker = TerminalAsker()
        else:
            asker = Nobody()
        async with open_kernel(settings, operator=operator(), asker=asker, more_projectors=PROJECTORS) as kernel:
            return await body(kernel)

    return anyio.run(main)


def read_journal(args: argparse.Namespace, body: Callable[[Reader], Awaitable[int]]) -> int:
    """Read the journal beside whoever writes it. Raises: JournalDown, where there is none yet."""
    import anyio  # noqa: PLC0415 -- commands that only print start without it

    from kernel.boot import make_store  # noqa: PLC0415 -- as above
    from kernel.journal.view import open_view  # noqa: PLC0415 -- as above

    settings = settings_for(args)

    async def main() -> int:
        async with open_view(make_store(settings)) as view:
            return await body(view)

    return anyio.run(main)


def in_use(args: argparse.Namespace) -> bool:
    """Whether an Oxios works in the home now."""
    from kernel.errors import InstanceLocked  # noqa: PLC0415 -- as above
    from kernel.journal.lock import instance_lock  # noqa: PLC0415 -- as above

    try:
        with instance_lock(settings_for(args).home):
            return False
    except InstanceLocked:
        return True
