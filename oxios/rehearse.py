"""What `oxios policy diff` does: two rule sets, all past calls, and where they differ."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from kernel.capability.grants import GRANTS
from kernel.errors import Invalid
from kernel.gate.policy import Rules
from kernel.gate.role_policy import POLICY_NAME, parse_policy
from kernel.ids import RunId
from kernel.journal.appender import Reader
from kernel.runtime.history import read_history
from kernel.runtime.rehearsal import (
    Changed,
    Finding,
    PastCall,
    Rehearsal,
    Rehearsed,
    RuleSet,
    past_calls,
    past_requests,
    rehearse,
)
from kernel.settings import Settings
from kernel.settings.load import resolve
from kernel.settings.source import from_file
from kernel.syscalls.table import discover
from oxios.frame import here, home_flag, overrides_of, place, settings_for
from oxios.paint import one_line
from oxios.session import read_journal

_RUNS_MAX: Final = 100_000
_ARGUMENT_CHARS: Final = 80


def diff(args: argparse.Namespace) -> bool:
    """Print what differs; True where something does. Raises: Invalid, NotFound, JournalDown."""
    old = rules_of(settings_for(args))
    new = _changed(old, args)
    found: list[Rehearsed] = []

    async def body(journal: Reader) -> int:
        table = discover()
        calls = [past async for past in _calls(journal, args.run)]
        found.append(await rehearse(calls, Rehearsal(old, table), Rehearsal(new, table)))
        return 0

    read_journal(args, body)
    rehearsed = found[0]
    if args.json:
        print(json.dumps(_json(rehearsed), ensure_ascii=False))
    else:
        _print(rehearsed)
    return bool(rehearsed.changed)


def rules_of(settings: Settings) -> RuleSet:
    """What decides under these settings, with the home's role policy."""
    said = settings.approval
    return RuleSet(
        policy=settings.home / POLICY_NAME,
        grant=settings.run.grant,
        network=settings.run.network,
        denied_paths=(str(settings.home), *settings.paths.denied),
        denied_programs=settings.commands.denied,
        rules=Rules(said.mode, frozenset(said.allow), said.policies, said.wait_s),
        tier=settings.sandbox.tier,
        providers=frozenset(settings.providers),
    )


def _changed(old: RuleSet, args: argparse.Namespace) -> RuleSet:
    """`old` with NEW in the place of what it replaces. Raises: Invalid, SettingsInvalid."""
    if args.new in GRANTS:
        return replace(old, grant=args.new)
    path = place(args.new)
    if not path.is_file():
        raise Invalid(
            f"{args.new!r} is neither a file nor a grant",
            remedy=f"name a policy.csv, a config.toml, or one of {', '.join(GRANTS)}",
        )
    if path.suffix == ".csv":
        parse_policy(path.read_bytes())
        return replace(old, policy=path)
    if path.suffix != ".toml":
        raise Invalid(f"{args.new!r} ends in neither .csv nor .toml", remedy="name a policy.csv or a config.toml")
    resolved = resolve(
        cwd=here(), home=home_flag(args), overrides=overrides_of(args), user_assignments=from_file(path, "user")
    )
    return replace(rules_of(resolved.settings), policy=old.policy)


async def _calls(journal: Reader, run: str | None) -> AsyncGenerator[PastCall]:
    rows = [] if run else await journal.rows("runs", order="started_us", limit=_RUNS_MAX)
    for name in [run] if run else [str(row["id"]) for row in rows]:
        entries = (await read_history(journal, RunId(name))).entries
        for past in sorted([*past_requests(entries), *past_calls(entries)], key=lambda past: past.seq):
            yield past


def _print(rehearsed: Rehearsed) -> None:
    for changed in rehearsed.changed:
        past = changed.past
        arguments = one_line(past.arguments, _ARGUMENT_CHARS)
        print(f"{past.call}  {past.tool} {arguments}")
        print(f"    {_words(changed.before)}  →  {_words(changed.after)}")
    skipped = f", {rehearsed.not_rehearsed} not rehearsed" if rehearsed.not_rehearsed else ""
    print(f"{len(rehearsed.changed)} of {rehearsed.calls} past calls would be decided otherwise{skipped}")


def _words(finding: Finding) -> str:
    by = f" by {finding.layer}" if finding.outcome == "denied" else ""
    why = f" ({finding.reason})" if finding.reason else ""
    return f"{finding.outcome}{by}{why}"


def _json(rehearsed: Rehearsed) -> dict[str, object]:
    return {
        "calls": rehearsed.calls,
        "not_rehearsed": rehearsed.not_rehearsed,
        "changed": [_change_json(changed) for changed in rehearsed.changed],
    }


def _change_json(changed: Changed) -> dict[str, object]:
    past = changed.past
    sides = {
        side: {"outcome": finding.outcome, "layer": finding.layer, "reason": finding.reason}
        for side, finding in (("before", changed.before), ("after", changed.after))
    }
    return {
        "run": past.run,
        "call": past.call,
        "seq": past.seq,
        "tool": past.tool,
        "arguments": past.arguments,
        **sides,
    }
