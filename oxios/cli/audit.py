"""`oxios audit`: read the journal, prove what stands in it, and verify that nobody changed it.

Reading needs no lock: it works beside a running Oxios, and on a home whose kernel will not start.
What writes is carried out by the server of the home, where one runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kernel.errors import Invalid
from oxios.exits import Exit
from oxios.frame import at_least_one, say, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kernel.journal.findings import Report
    from kernel.journal.note import VerifierKey
    from kernel.jsontypes import JsonObject
    from kernel.ports.store import StoreReader
    from kernel.settings import Settings

NAME = "audit"
HELP = "read, prove, verify and export the journal"


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    verify = actions.add_parser("verify", help="check every entry, hash and signature")
    verify.add_argument("--key", type=Path, metavar="FILE", help="trust these public keys only, kept elsewhere")
    verify.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="a checkpoint kept elsewhere; it must still hold"
    )
    verify.add_argument("--json", action="store_true", help="the report as one JSON object")
    verify.set_defaults(action=_verify)
    prove = actions.add_parser("prove", help="prove that an entry is in the journal")
    prove.add_argument("seq", type=int, help="the entry's number")
    _already_json(prove)
    prove.set_defaults(action=_prove)
    consistency = actions.add_parser("consistency", help="prove that one size of the journal continues another")
    consistency.add_argument("old", type=int, help="the smaller size")
    consistency.add_argument("new", type=int, help="the larger size")
    _already_json(consistency)
    consistency.set_defaults(action=_consistency)
    _configure_log(actions.add_parser("log", help="show entries"))
    export = actions.add_parser("export", help="write all entries as JSON lines that verify by themselves")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    export.add_argument("--blobs", action="store_true", help="with the contents of blobs")
    export.add_argument("--json", action="store_true", help="JSON lines, as without it")
    export.set_defaults(action=_export)
    checkpoint = actions.add_parser("checkpoint", help="print the newest signed checkpoint, to be kept elsewhere")
    checkpoint.set_defaults(action=_checkpoint)
    rotate = actions.add_parser("rotate-key", help="sign with a new key from now on")
    rotate.set_defaults(action=_rotate)
    erase = actions.add_parser("erase", help="remove a payload or blob for ever; all proofs still hold")
    erase.add_argument("digest", help="64 hexadecimal characters, as `audit log --json` shows")
    erase.add_argument("--reason", required=True, help="stands in the journal")
    erase.set_defaults(action=_erase)


def _already_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, as without it")


def _configure_log(log: argparse.ArgumentParser) -> None:
    log.add_argument("--run", help="of this run: its id, or how it begins")
    log.add_argument("--principal", help="by this principal, e.g. user:alice")
    log.add_argument("--kind", help="of this kind, e.g. call.denied")
    log.add_argument("--after", type=int, default=0, metavar="SEQ", help="only entries after this one")
    log.add_argument("--limit", type=at_least_one, default=0, metavar="N", help="at most this many (default: all)")
    log.add_argument("--follow", action="store_true", help="go on as entries are committed, until interrupted")
    log.add_argument("--json", action="store_true", help="one JSON object a line, as in an export")
    log.set_defaults(action=_log)


def run(args: argparse.Namespace) -> int:
    return int(args.action(args))


def _verify(args: argparse.Namespace) -> int:
    from kernel.boot import projectors  # noqa: PLC0415 -- `oxios --help` needs no kernel
    from kernel.clock import SystemClock  # noqa: PLC0415 -- as above
    from kernel.errors import OxiosError  # noqa: PLC0415 -- as above
    from kernel.journal.opening import JournalFiles  # noqa: PLC0415 -- as above
    from kernel.journal.verify import verify  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- as above
    from ouroboros.projection import PROJECTORS  # noqa: PLC0415 -- as above

    try:
        settings = settings_for(args)
        report = verify(
            make_store(settings),
            JournalFiles(settings.home),
            SystemClock(),
            trusted=_keys(settings, args.key),
            witnessed=[_text(args.checkpoint)] if args.checkpoint else [],
            projectors=projectors(PROJECTORS),
        )
    except OxiosError as error:
        if args.json:
            told = {"code": error.code, "message": error.message, "remedy": error.remedy}
            print(json.dumps({"good": None, "error": told}, ensure_ascii=False))
        say(f"could not verify: {error.explain()}")
        return Exit.USAGE
    if args.json:
        print(json.dumps(_shown(report), ensure_ascii=False))
    else:
        _tell(report)
    return Exit.OK if report.good else Exit.FAILED


def _shown(report: Report) -> JsonObject:
    return {
        "good": report.good,
        "journal": report.address,
        "origin": report.origin,
        "entries": report.size,
        "root": report.root,
        "checkpoints": report.checkpoints,
        "blobs": report.blobs,
        "erased": report.erased,
        "duration_s": round(report.duration_s, 3),
        "findings": [{"kind": each.kind, "seq": each.seq, "message": each.message} for each in report.findings],
        "more_findings": report.more,
    }


def _tell(report: Report) -> None:
    for finding in report.findings:
        print(f"BROKEN {finding.kind}: {finding.message}")
    if report.more:
        print(f"BROKEN … and {report.more} findings more")
    if report.good:
        erased = f", {report.erased} erased" if report.erased else ""
        print(
            f"good: {report.size} entries, {report.blobs} blobs{erased}, {report.checkpoints} checkpoints, "
            f"root {report.root}, {report.duration_s:.2f} s"
        )


def _prove(args: argparse.Namespace) -> int:
    from kernel.journal.export import prove  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- as above

    reader = make_store(settings_for(args)).reader()
    try:
        print(json.dumps(prove(reader, args.seq), ensure_ascii=False))
    finally:
        reader.close()
    return Exit.OK


def _consistency(args: argparse.Namespace) -> int:
    from kernel.journal.export import prove_consistency  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- as above

    reader = make_store(settings_for(args)).reader()
    try:
        print(json.dumps(prove_consistency(reader, args.old, args.new), ensure_ascii=False))
    finally:
        reader.close()
    return Exit.OK


def _log(args: argparse.Namespace) -> int:
    from kernel.ports.store import EntryQuery  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- as above
    from oxios.journal_lines import entries, line  # noqa: PLC0415 -- as above

    reader = make_store(settings_for(args)).reader()
    try:
        query = EntryQuery(args.after, args.limit, _stream(reader, args.run), args.kind, args.principal)
        for row in entries(reader, query, follow=args.follow):
            print(line(row, as_json=args.json), flush=args.follow)
    finally:
        reader.close()
    return Exit.OK


def _stream(reader: StoreReader, typed: str | None) -> str | None:
    """The stream that was meant: itself, or the run whose id begins so. Raises: Invalid, where several do."""
    from kernel.ports.store import EntryQuery, RowQuery  # noqa: PLC0415 -- as above
    from oxios.shortid import the_only  # noqa: PLC0415 -- as above

    if not typed or reader.entries(EntryQuery(0, 1, typed)):
        return typed
    following = reader.rows(RowQuery("runs", {}, order="id", after=(typed, ""), limit=2))
    found = [str(row["id"]) for row in following if str(row["id"]).startswith(typed)]
    return the_only(found, "runs", typed) if found else typed


def _export(args: argparse.Namespace) -> int:
    from kernel.journal.export import export  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- as above

    settings = settings_for(args)
    reader = make_store(settings).reader()
    try:
        with closing(export(reader, _keys(settings, None), blobs=args.blobs)) as lines:
            if args.output is None:
                _write(lines, sys.stdout)
            else:
                _write_to(args.output, lines)
                say(f"exported to {args.output}; verify it with scripts/verify_export.py --key journal.pub", args)
    finally:
        reader.close()
    return Exit.OK


def _write_to(path: Path, lines: Iterable[str]) -> None:
    try:
        with path.open("w", encoding="utf-8") as file:
            _write(lines, file)
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}", remedy="choose another place") from error


def _write(lines: Iterable[str], file: IO[str]) -> None:
    for each in lines:
        file.write(f"{each}\n")


def _checkpoint(args: argparse.Namespace) -> int:
    from kernel.storage import make_store  # noqa: PLC0415 -- as above

    reader = make_store(settings_for(args)).reader()
    try:
        sys.stdout.write(reader.tree().note)
    finally:
        reader.close()
    return Exit.OK


def _rotate(args: argparse.Namespace) -> int:
    from oxios.journal_edit import rotate_key  # noqa: PLC0415 -- as above

    return rotate_key(args)


def _erase(args: argparse.Namespace) -> int:
    from oxios.journal_edit import erase  # noqa: PLC0415 -- as above

    return erase(args)


def _keys(settings: Settings, given: Path | None) -> Sequence[VerifierKey]:
    from kernel.journal.keys import load_public  # noqa: PLC0415 -- as above
    from kernel.journal.opening import JournalFiles  # noqa: PLC0415 -- as above

    return load_public(given or JournalFiles(settings.home).public_keys)


def _text(path: Path) -> str:
    from kernel.errors import Invalid  # noqa: PLC0415 -- as above

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {error}", remedy="give a file that holds a checkpoint") from error
