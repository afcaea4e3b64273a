"""`oxios undo CALL`: restore the file that a call of an agent changed."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from oxios.exits import Exit

if TYPE_CHECKING:
    from kernel.boot import Kernel

NAME = "undo"
HELP = "restore the file that a call changed"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Restore the file that a write, edit or undo changed, as it was before. Refuses where it changed since."
    )
    parser.add_argument("call", metavar="CALL", help="the call's id, as `oxios runs show RUN` lists it")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    from oxios.session import run_kernel  # noqa: PLC0415 -- `oxios --help` opens no kernel

    return run_kernel(args, lambda kernel: _undo(kernel, args))


async def _undo(kernel: Kernel, args: argparse.Namespace) -> int:
    from kernel.directive import Mount  # noqa: PLC0415 -- as above
    from kernel.handle.undo import undoable_mark  # noqa: PLC0415 -- as above
    from kernel.tools.change import read_mark  # noqa: PLC0415 -- as above

    place = read_mark(await undoable_mark(kernel.journal, args.call))
    handle = kernel.handle(kernel.operator, mounts=(Mount(place.mount),))
    arguments = {"call": args.call, "path": f"{place.mount.rstrip('/')}/{place.inner}"}
    result = await handle.call("undo", arguments)
    print(json.dumps({"call": args.call, **result.data}, ensure_ascii=False) if args.json else result.text)
    return Exit.OK
