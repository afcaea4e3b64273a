"""`oxios seed`: have a seed carried out, write a new one, look at those on record."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from oxios.exits import Exit
from oxios.frame import at_least_one, place, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kernel.journal.appender import Reader
    from kernel.journal.projection import Scalar
    from ouroboros.seed import Seed

NAME = "seed"
HELP = "carry out a seed (a specification), write a new one, list those on record"
FORMS = ("toml", "md", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    _configure_submit(actions.add_parser("submit", help="carry out a seed now, and review it"))
    new = actions.add_parser("new", help="write a commented template")
    new.add_argument("-o", "--output", metavar="FILE", help="where to write it (default: stdout)")
    new.add_argument("--form", choices=FORMS, help="its notation (default: by FILE's suffix, else toml)")
    listed = actions.add_parser("list", help="list the seeds on record, newest first")
    listed.add_argument("--limit", type=at_least_one, default=50, metavar="N", help="at most this many (default: 50)")
    shown = actions.add_parser("show", help="show one of them whole, with its runs")
    shown.add_argument("id", metavar="ID", help="its id, as `oxios seed list` shows it, or how it begins")
    for action in (listed, shown):
        action.add_argument("--json", action="store_true", help="one JSON value on stdout")


def _configure_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("seed", metavar="FILE|-|GOAL", help="a TOML, JSON or Markdown file, - for stdin, or the goal")
    parser.add_argument("--workspace", metavar="DIR", default="", help="work in DIR, in place of the first mount")
    parser.add_argument("--model", metavar="PROVIDER/MODEL", default="", help="in place of the seed's")
    parser.add_argument("--persona", metavar="NAME", default="", help="in place of the seed's")
    parser.add_argument("--approve", choices=("manual", "allow-list", "auto"), default="", help="what runs unasked")
    parser.add_argument(
        "--attach", metavar="FILE", action="append", default=[], help="an image, PDF or text to show the agent"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout at the end")
    parser.add_argument(
        "--exit-code", action="store_true", help="exit 3 where it finished and its criteria were not met"
    )


def run(args: argparse.Namespace) -> int:
    match args.action:
        case "submit":
            from oxios.submit import submit  # noqa: PLC0415 -- `oxios --help` opens no kernel

            return submit(args)
        case "new":
            return _new(args)
        case _:
            from oxios.session import read_journal  # noqa: PLC0415 -- as above

            action = _list if args.action == "list" else _show
            return read_journal(args, lambda journal: action(args, journal))


def _new(args: argparse.Namespace) -> int:
    from importlib.resources import files  # noqa: PLC0415 -- for this action only

    from kernel.errors import Conflict, Invalid  # noqa: PLC0415 -- as above

    suffix = Path(args.output or "").suffix.lower().lstrip(".")
    if suffix and not args.form and suffix not in FORMS:
        raise Invalid(f"no seed is written as .{suffix}", remedy="end FILE in .toml, .md or .json, or give --form")
    form = args.form or suffix or "toml"
    text = (files("oxios.samples") / f"template.{form}").read_text(encoding="utf-8")
    if not args.output:
        print(text, end="")
        return Exit.OK
    try:
        with place(args.output).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(f"{args.output} exists already", remedy="choose another name, or remove it") from None
    except OSError as error:
        raise Invalid(f"{args.output} cannot be written: {error.strerror}", remedy="choose another place") from error
    say(f"wrote {args.output}; carry it out with `oxios seed submit {args.output}`", args)
    return Exit.OK


async def _list(args: argparse.Namespace, journal: Reader) -> int:
    from ouroboros.seedbook import SeedBook  # noqa: PLC0415 -- for this action only
    from oxios.paint import one_line  # noqa: PLC0415 -- as above
    from oxios.session import in_use  # noqa: PLC0415 -- as above

    book, locked = SeedBook(journal), in_use(args)
    rows = await book.listed(args.limit)
    runs = await book.runs_of([str(row["id"]) for row in rows])
    rows = [{**row, **_newest(runs.get(str(row["id"]), ()), locked=locked)} for row in rows]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
        return Exit.OK
    for row in rows:
        stands = row["verdict"] or row["status"] or "not run"
        goal = one_line(str(row["goal"]), 70)
        print(f"{row['id']}  {_when(row['created_us'])}  gen {row['generation']}  {stands:<11}  {goal}")
    if not rows:
        say("no seed is on record; `oxios seed new` writes a template", args)
    return Exit.OK


async def _show(args: argparse.Namespace, journal: Reader) -> int:
    from ouroboros.seedbook import SeedBook  # noqa: PLC0415 -- for this action only
    from oxios.paint import harmless  # noqa: PLC0415 -- as above
    from oxios.shortid import whole_id  # noqa: PLC0415 -- as above

    seed = await SeedBook(journal).find(await whole_id(journal, "seeds", args.id))
    runs = await journal.rows("runs", {"seed": seed.id}, order="started_us")
    if args.json:
        told = {**seed.payload(), "digest": seed.digest, "runs": [row["id"] for row in runs]}
        print(json.dumps(told, ensure_ascii=False))
        return Exit.OK
    lines = [f"{seed.id}  {_when(seed.created_us)}  generation {seed.generation}, parent {seed.parent or 'none'}"]
    lines += [seed.goal.strip(), *_fields(seed)]
    lines += [f"run {row['id']}: {_stands(row)}, {row['turns']} turns" for row in runs]
    print(harmless("\n\n".join(lines)))
    return Exit.OK


def _newest(runs: Sequence[Mapping[str, Scalar]], *, locked: bool) -> dict[str, Scalar]:
    """How the newest of a seed's runs stands, and how it was judged; empty where there is none."""
    from oxios.runs import status_now  # noqa: PLC0415 -- for this action only

    if not runs:
        return {"run": "", "status": "", "verdict": ""}
    newest = runs[0]
    status = status_now(str(newest["status"]), locked=locked)
    return {"run": newest["id"], "status": status, "verdict": newest["verdict"] or ""}


def _stands(run: Mapping[str, Scalar]) -> str:
    return f"{run['status']}, review {run['verdict']}" if run["verdict"] else str(run["status"])


def _fields(seed: Seed) -> Iterator[str]:
    """What the seed says beside its goal, a paragraph each."""
    for title, items in (("Constraints", seed.constraints), ("Criteria", seed.criteria)):
        if items:
            yield "\n".join([title, *(f"  {number}. {item}" for number, item in enumerate(items, 1))])
    names = {"mounts", "ontology", "output_schema", "cspace_hint", "budget", "model", "persona"}
    for name, value in seed.model_dump(mode="json", include=names, exclude_defaults=True).items():
        yield f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


def _when(time_us: object) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 -- for these actions only

    return datetime.fromtimestamp(float(str(time_us)) / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
