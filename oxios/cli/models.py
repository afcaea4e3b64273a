"""`oxios models`: which models there are, how they served, and where their keys come from."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from oxios.exits import Exit
from oxios.frame import say, settings_for

if TYPE_CHECKING:
    from kernel.engine.catalog import ModelFacts
    from kernel.settings import Settings

NAME = "models"
HELP = "list models, with context and price; how they served; and their keys"
_FALLBACKS_SHOWN = 20
_UNPRICED_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the models that the settings name, or all that the catalog has")
    listing.add_argument(
        "--provider", metavar="P", default="", help="every model of this provider: the catalog's, else its own list"
    )
    listing.add_argument("--json", action="store_true", help="one JSON object on stdout")
    listing.set_defaults(action=_list)
    stats = actions.add_parser(
        "stats",
        help="count calls, failures, cost, time, fallbacks and breakers, from the journal",
        description="Count the model requests in the journal. It only reads, so a running kernel is not disturbed. "
        "`alone $` is what all replies together would have cost, had this model given them.",
    )
    stats.add_argument("--json", action="store_true", help="one JSON object on stdout")
    stats.set_defaults(action=_stats)
    _configure_keys(actions.add_parser("key", help="keep, list and remove providers' keys"))


def _configure_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    put = actions.add_parser("set", help="keep a key, read from standard input or typed without echo")
    put.add_argument("provider", help="the provider's name in the settings, e.g. openai")
    put.add_argument("--keyring", action="store_true", help="in the system's keyring, not in the home's encrypted file")
    put.set_defaults(action=_key_set)
    listing = actions.add_parser("list", help="show where each provider's keys come from; never a key itself")
    listing.add_argument("--json", action="store_true", help="one JSON object on stdout")
    listing.set_defaults(action=_key_list)
    remove = actions.add_parser("remove", help="forget a provider's kept key")
    remove.add_argument("provider", help="the provider's name")
    remove.add_argument("--number", type=int, metavar="N", help="which one of several; default: all")
    remove.add_argument("--keyring", action="store_true", help="from the system's keyring")
    remove.set_defaults(action=_key_remove)


def run(args: argparse.Namespace) -> int:
    return int(args.action(args))


def _list(args: argparse.Namespace) -> int:
    from kernel.clock import SystemClock  # noqa: PLC0415 -- `oxios --help` needs none of these
    from kernel.engine.catalog import DISTRIBUTION, Catalog  # noqa: PLC0415 -- as above
    from kernel.engine.report import configured, fact_fields  # noqa: PLC0415 -- as above
    from kernel.errors import NotFound  # noqa: PLC0415 -- as above

    settings = settings_for(args)
    if args.provider and args.provider not in settings.providers:
        known = ", ".join(sorted(settings.providers))
        raise NotFound(f"no provider {args.provider!r} is configured", remedy=f"configured are {known}")
    catalog = Catalog(settings, SystemClock().now_us)
    names = [one for one in configured(settings) if not args.provider or one.startswith(f"{args.provider}/")]
    if args.provider:
        more = catalog.models_of(args.provider) or _offered(settings, args.provider)
        names = list(dict.fromkeys((*names, *more)))
    facts = [catalog.facts(name) for name in names]
    edition = catalog.edition()
    if args.json:
        shown = {
            "catalog": {"name": DISTRIBUTION, **asdict(edition)},
            "models": [{**fact_fields(one), "default": one.model == settings.model.default} for one in facts],
        }
        print(json.dumps(shown, ensure_ascii=False))
        return Exit.OK
    _print_table(
        ("model", "context", "answer", "in $/M", "out $/M", "cached", "price from"), [_fact_row(one) for one in facts]
    )
    say(f"catalog: {DISTRIBUTION} {edition.version}, its newest price of {edition.newest}", args)
    return Exit.OK


def _offered(settings: Settings, provider: str) -> list[str]:
    """What a provider that the catalog does not know lists itself; why it cannot be asked is said."""
    import anyio  # noqa: PLC0415 -- as in _list

    from kernel.errors import OxiosError  # noqa: PLC0415 -- as in _list
    from oxios.trial import offered  # noqa: PLC0415 -- as in _list

    if not settings.providers[provider].base_url:
        return []
    try:
        return [f"{provider}/{name}" for name in anyio.run(offered, settings, provider)]
    except OxiosError as error:
        say(f"the models of {provider} cannot be listed: {error.explain()}")
        return []


def _fact_row(one: ModelFacts) -> tuple[str, ...]:
    price = one.price
    money = ("?", "?", "?") if price is None else tuple(
        _usd(part) for part in (price.input_micro_usd, price.output_micro_usd, price.cached_micro_usd)
    )  # fmt: skip
    tiers = f" (dearer above {price.tiers[0][0]} tokens)" if price is not None and price.tiers else ""
    source = (one.price_source or "unknown") + tiers
    return (one.model, str(one.context_tokens), str(one.output_tokens), *money, source)


def _stats(args: argparse.Namespace) -> int:
    """Raises: JournalDown, where there is no journal or it cannot be read."""
    from kernel.clock import SystemClock  # noqa: PLC0415 -- as above
    from kernel.engine.catalog import Catalog  # noqa: PLC0415 -- as above
    from kernel.engine.report import stats_fields  # noqa: PLC0415 -- as above
    from kernel.engine.stats import RoutingStats  # noqa: PLC0415 -- as above
    from kernel.journal.rows import entry_of  # noqa: PLC0415 -- as above
    from kernel.storage import make_store  # noqa: PLC0415 -- the kernel's imports are most of a command's start

    settings = settings_for(args)
    reader = make_store(settings).reader()
    stats = RoutingStats()
    try:
        for row in reader.scan():
            stats.apply(entry_of(row))
    finally:
        reader.close()
    clock = SystemClock()
    shown = stats_fields(stats, settings, Catalog(settings, clock.now_us), clock.now_us())
    if args.json:
        print(json.dumps(shown, ensure_ascii=False))
    else:
        _print_stats(shown)
    return Exit.OK


def _print_stats(shown: Mapping[str, Any]) -> None:
    _print_table(
        ("model", "calls", "failed", "tokens in", "out", "cached", "cost $", "p50 ms", "p95 ms", "alone $"),
        [_stats_row(one) for one in shown["models"]],
    )
    assumed = shown["assumed_micro_usd"]
    told = f", of which {_usd(assumed)} $ at most: nobody reported what those requests used" if assumed else ""
    print(f"cost: {_usd(shown['micro_usd'])} ${told}")
    best = shown["best_single"]
    if best:
        print(f"the best single model: {best['model']}, which would have cost {_usd(best['micro_usd'])} $")
    unpriced = [one["model"] for one in shown["models"] if one["alone_micro_usd"] is None]
    if unpriced:
        print(f"no price is known of {', '.join(unpriced[:_UNPRICED_SHOWN])}: set providers.NAME.input_usd_per_mtok")
    fallbacks = shown["fallbacks"]
    for one in fallbacks[-_FALLBACKS_SHOWN:]:
        when = datetime.fromtimestamp(one["time_us"] / 1_000_000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        print(f"fallback: {one['run']}: {one['from_model']} → {one['to_model']}: {one['reason']} ({when})")
    if len(fallbacks) > _FALLBACKS_SHOWN:
        print(f"fallbacks before these: {len(fallbacks) - _FALLBACKS_SHOWN}; --json has them")
    for one in shown["breakers"]:
        print(f"breaker: {one['model']} {one['key']}: {one['state']}, {one['failures']} failures in a row")


def _stats_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    failures = ", ".join(f"{count} {kind}" for kind, count in one["failures"].items()) or "0"
    tokens = one["tokens"]
    alone = one["alone_micro_usd"]
    return (
        f"{one['model']} (as {one['answered_as']})" if one["answered_as"] else one["model"],
        str(one["calls"]),
        failures,
        *(str(tokens[part]) for part in ("in", "out", "cached")),
        _usd(one["micro_usd"]),
        *("-" if one[part] is None else str(one[part]) for part in ("ms_p50", "ms_p95")),
        "?" if alone is None else _usd(alone),
    )


def _key_set(args: argparse.Namespace) -> int:
    from kernel.engine import keyring  # noqa: PLC0415 -- as in _list
    from kernel.engine.vault import Vault, checked  # noqa: PLC0415 -- as above
    from kernel.errors import NotFound  # noqa: PLC0415 -- as above

    settings = settings_for(args)
    if args.provider not in settings.providers:
        known = ", ".join(sorted(settings.providers))
        remedy = f"configured are {known}; `oxios onboard --no-check` adds one before its key is there"
        raise NotFound(f"no provider {args.provider!r} is configured", remedy=remedy)
    value = checked(_typed(args.provider))
    if args.keyring:
        keyring.store(args.provider, value)
        say(f"the key of {args.provider} is kept in the system's keyring", args)
        if not settings.routing.keyring:
            say("it is used once routing.keyring is true: `oxios config set routing.keyring true`", args)
        return Exit.OK
    number = Vault(settings.home / "keys").add(args.provider, value)
    say(f"key {number} of {args.provider} is kept in {settings.home / 'keys'}", args)
    return Exit.OK


def _typed(provider: str) -> str:
    """The key from standard input; asked for without echo where that is a terminal."""
    if sys.stdin.isatty():
        import getpass  # noqa: PLC0415 -- at a terminal only

        return getpass.getpass(f"key of {provider} (not shown): ")
    return sys.stdin.readline().strip()


def _key_list(args: argparse.Namespace) -> int:
    from kernel.engine.sources import sources_of  # noqa: PLC0415 -- as in _list

    settings = settings_for(args)
    sources = sources_of(settings, os.environ)
    found = {name: sources.find(name, one) for name, one in settings.providers.items()}
    if args.json:
        rows = [
            {"provider": name, "keys": [key.source for key in one.keys], "missing": one.missing}
            for name, one in found.items()
        ]
        print(json.dumps({"providers": rows, "kept": dict(sources.vault.counts())}, ensure_ascii=False))
        return Exit.OK
    for name, one in found.items():
        missing = f"none: {', '.join(one.missing)} is not set"
        print(f"{name}: {', '.join(key.source for key in one.keys) or missing}")
    return Exit.OK


def _key_remove(args: argparse.Namespace) -> int:
    from kernel.engine import keyring  # noqa: PLC0415 -- as in _list
    from kernel.engine.vault import Vault  # noqa: PLC0415 -- as above

    settings = settings_for(args)
    if args.keyring:
        keyring.remove(args.provider)
        say(f"the key of {args.provider} was removed from the system's keyring", args)
        return Exit.OK
    count = Vault(settings.home / "keys").remove(args.provider, args.number)
    say(f"{count} key{'s' if count != 1 else ''} of {args.provider} removed from the home", args)
    return Exit.OK


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _usd(micro: int) -> str:
    return f"{micro / 1_000_000:.6f}".rstrip("0").rstrip(".")
