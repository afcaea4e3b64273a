"""The two acts of `oxios audit` that write: in the server of the home, else under the home's lock."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kernel.ids import Digest
from oxios.exits import Exit
from oxios.frame import say
from oxios.session import operator, run_journal

if TYPE_CHECKING:
    from kernel.journal.log import Journal


def rotate_key(args: argparse.Namespace) -> int:
    """Print the new public key. Raises: InstanceLocked, JournalDown."""

    async def act(journal: Journal) -> int:
        entry = await journal.rotate_key(operator())
        assert entry.payload is not None, "the journal keeps what it needs itself"
        print(entry.payload["new"])
        say("the key was rotated; keep the printed public key where the home cannot reach it", args)
        return Exit.OK

    return run_journal(args, act)


def erase(args: argparse.Namespace) -> int:
    """Remove what has the digest. Raises: NotFound, Invalid, InstanceLocked, JournalDown."""

    async def act(journal: Journal) -> int:
        entry = await journal.erase(Digest(args.digest), operator(), args.reason)
        say(f"erased; entry {entry.seq} records it", args)
        return Exit.OK

    return run_journal(args, act)
