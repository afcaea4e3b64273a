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
    from ouroboros.seedbook import PROJECTORS  # noqa: PLC0415 -- as above
    from kernel.gate.asker import Nobody  # noqa: PLC0415 -- as above

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
