"""`oxios metrics`: what the journal counts, in Prometheus' text format."""

from __future__ import annotations

import argparse
import json
import sys

from oxios.exits import Exit
from oxios.frame import settings_for

NAME = "metrics"
HELP = "count what the journal says, in Prometheus' text format"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Count every entry of the journal. It only reads, so a running kernel is not disturbed."
    parser.add_argument("--list", action="store_true", help="list the metrics and what moves each, without counting")
    parser.add_argument("--json", action="store_true", help="with --list: as JSON")


def run(args: argparse.Namespace) -> int:
    return _list(as_json=args.json) if args.list else _count(args)


def _count(args: argparse.Namespace) -> int:
    """Raises: JournalDown, where there is no journal or it cannot be read."""
    from kernel.journal.rows import entry_of  # noqa: PLC0415 -- as above
    from kernel.observe.metrics import Metrics  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- the kernel's imports are most of a command's start

    reader = make_store(settings_for(args)).reader()
    try:
        metrics = Metrics(live=False)
        for row in reader.scan():
            metrics.replay(entry_of(row))
    finally:
        reader.close()
    sys.stdout.write(metrics.exposition().decode())
    return Exit.OK


def _list(*, as_json: bool) -> int:
    from kernel.observe.metrics import describe_metrics  # noqa: PLC0415 -- as above

    if as_json:
        rows = [
            {"name": one.name, "kind": one.kind, "labels": one.labels, "doc": one.doc, "fed_by": one.fed_by}
            for one in describe_metrics()
        ]
        print(json.dumps(rows, indent=2))
        return Exit.OK
    for one in describe_metrics():
        labels = f"{{{','.join(one.labels)}}}" if one.labels else ""
        print(f"{one.kind:<9} {one.name}{labels}\n          {one.doc} Moved by {', '.join(one.fed_by)}.")
    return Exit.OK
