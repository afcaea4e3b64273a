"""`oxios doctor`: look at everything Oxios stands on, and say what to do about what is wrong."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from oxios.exits import Exit
from oxios.frame import say, settings_for

if TYPE_CHECKING:
    from oxios.checkup import Check, Status
    from oxios.paint import Style

NAME = "doctor"
HELP = "check this machine, the home, the journal, the sandbox and the providers"

_STYLES: Final[dict[Status, Style]] = {"ok": "good", "warn": "warn", "fail": "bad"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check what Oxios stands on. Exit code 0 where nothing failed, 1 where something did."
    parser.add_argument(
        "--fix",
        action="store_true",
        help="make a missing home, close it to other users, update an older journal's tables",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    import anyio  # noqa: PLC0415 -- `oxios --help` starts without it

    from oxios.checkup import checks, mend  # noqa: PLC0415 -- as above
    from oxios.local_models import local_models  # noqa: PLC0415 -- as above

    settings = settings_for(args)
    if args.fix:
        for done in mend(settings):
            say(done, args)

    async def all_of_them() -> list[Check]:
        return [*[check async for check in checks(settings)], await local_models(settings)]

    found = anyio.run(all_of_them)
    fails = sum(check.status == "fail" for check in found)
    if args.json:
        print(json.dumps({"ok": fails == 0, "checks": [asdict(check) for check in found]}, ensure_ascii=False))
    else:
        _tell(found, args)
    return Exit.FAILED if fails else Exit.OK


def _tell(found: list[Check], args: argparse.Namespace) -> None:
    from oxios.paint import painter  # noqa: PLC0415 -- as above

    paint = painter(args, sys.stdout)
    for check in found:
        paint(((f"{check.status:<4}", _STYLES[check.status]), (f"  {check.name}: {check.detail}", "")))
        if check.remedy:
            paint(((f"      {check.remedy}", "dim"),))
