"""`oxios persona`: see the personas, and choose the one that seeds without a persona use."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from oxios.exits import Exit
from oxios.frame import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.boot import Kernel
    from kernel.journal.appender import Reader
    from kernel.persona import Persona
    from kernel.settings import Settings

NAME = "persona"
HELP = "list the personas, show one, choose the active one"
NOBODY = "none"


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    listed = actions.add_parser("list", help="list all of them, the active one marked")
    shown = actions.add_parser("show", help="show one of them, whole")
    shown.add_argument("name", metavar="NAME", help="a persona's id, as `oxios persona list` shows it")
    used = actions.add_parser("use", help="make one the active one, or none")
    used.add_argument("name", metavar="NAME", help=f"a persona's id, or {NOBODY!r}")
    for action in (listed, shown, used):
        action.add_argument("--json", action="store_true", help="one JSON value on stdout")


def run(args: argparse.Namespace) -> int:
    from kernel.persona import find, load_personas  # noqa: PLC0415 -- `oxios --help` reads no persona
    from oxios.frame import settings_for  # noqa: PLC0415 -- as above
    from oxios.session import run_kernel  # noqa: PLC0415 -- as above

    if args.action == "use":
        return run_kernel(args, lambda kernel: _use(args, kernel))
    settings = settings_for(args)
    personas = load_personas(settings.home)
    if args.action == "show":
        _show(find(personas, args.name), args)
    else:
        _list(personas.values(), _active(args, settings), args)
    return Exit.OK


async def _use(args: argparse.Namespace, kernel: Kernel) -> int:
    name = "" if args.name == NOBODY else args.name
    result = await kernel.handle(kernel.operator).call("persona.use", {"name": name})
    if args.json:
        print(json.dumps(result.data, ensure_ascii=False))
    say(result.text, args)
    return Exit.OK


def _active(args: argparse.Namespace, settings: Settings) -> str:
    """Read beside whoever writes; where nothing was ever written, nobody switched."""
    from kernel.errors import JournalDown  # noqa: PLC0415 -- for this action only
    from kernel.handle.persona import active_persona  # noqa: PLC0415 -- as above
    from oxios.session import read_journal  # noqa: PLC0415 -- as above

    found = [settings.persona.default]

    async def look(journal: Reader) -> int:
        found[0] = await active_persona(journal, settings.persona.default)
        return Exit.OK

    try:
        read_journal(args, look)
    except JournalDown as error:
        if (settings.home / "journal").exists():
            say(f"which persona is active cannot be read: {error.explain()}")
    return found[0]


def _list(personas: Iterable[Persona], active: str, args: argparse.Namespace) -> None:
    if args.json:
        brief = [{key: value for key, value in item.json().items() if key != "system_prompt"} for item in personas]
        print(json.dumps({"active": active, "personas": brief}, ensure_ascii=False))
        return
    for item in personas:
        mark = "*" if item.id == active else " " if item.enabled else "-"
        print(f"{mark} {item.id:<12} {item.role:<12} {item.description}")


def _show(persona: Persona, args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(persona.json(), ensure_ascii=False))
        return
    print(f"id: {persona.id}\nname: {persona.name}\nrole: {persona.role}\ndescription: {persona.description}")
    print(f"enabled: {'yes' if persona.enabled else 'no'}\nmodel: {persona.model or 'the default'}")
    print(f"traits: {', '.join(persona.personality_traits)}\nsource: {persona.source}\n\n{persona.system_prompt}")
