"""What `oxios runs` does, a function a verb. Data goes to stdout, talk to stderr.

Reading verbs read the journal without the home's lock, so they work beside a running Oxios.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from kernel.errors import Invalid, JournalDown, OxiosError
from kernel.ids import RunId
from kernel.journal.appender import Reader
from kernel.journal.projection import Scalar
from kernel.runtime.facts import facts_of
from kernel.runtime.history import History, read_entries, read_history
from kernel.runtime.replay import Divergence, same_state
from kernel.runtime.replay import replay as replay_run
from kernel.runtime.state import RunState
from oxios.exits import Exit
from oxios.frame import place, say
from oxios.paint import one_line
from oxios.recover import finish, unreviewed
from oxios.session import in_use, read_journal, run_kernel
from oxios.shortid import whole_id
from oxios.watch import watched

if TYPE_CHECKING:
    from kernel.boot import Kernel

_GOAL_CHARS: Final = 60
_LINE_CHARS: Final = 200
_EXITS: Final = {"finished": Exit.OK, "failed": Exit.RUN_FAILED, "paused": Exit.PAUSED, "cancelled": Exit.STOPPED}


def listing(args: argparse.Namespace) -> int:
    async def body(journal: Reader) -> int:
        locked = in_use(args)
        recorded = {"interrupted": "running"}.get(args.status, args.status)
        where = {"status": recorded} if args.status else None
        rows = await journal.rows("runs", where, order="started_us", descending=True, limit=args.limit)
        shown = [_with_status(row, locked=locked) for row in rows]
        chosen = [row for row in shown if args.status in (None, row["status"])]
        _print_rows(chosen, as_json=args.json)
        if not chosen and not args.json:
            say("no run is on record" if args.status is None else f"no run is {args.status}", args)
        return Exit.OK

    return read_journal(args, body)


def show(args: argparse.Namespace) -> int:
    async def body(journal: Reader) -> int:
        history = await read_history(journal, await _named(journal, args))
        state = history.state()
        if args.json:
            print(json.dumps(run_json(state, locked=in_use(args)), ensure_ascii=False, indent=2))
        else:
            _print_run(state, locked=in_use(args))
        if history.erased is not None:
            say(f"not all of it: {history.lost(history.erased).message}")
        return Exit.OK

    return read_journal(args, body)


def export(args: argparse.Namespace) -> int:
    lines: list[str] = []

    async def body(journal: Reader) -> int:
        entries = await read_entries(journal, await _named(journal, args))
        lines.extend(f"{json.dumps(entry.json(), ensure_ascii=False)}\n" for entry in entries)
        return Exit.OK

    read_journal(args, body)
    if args.output:
        try:
            place(args.output).write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise Invalid(
                f"{args.output} cannot be written: {error.strerror}", remedy="choose another place"
            ) from error
        say(f"{len(lines)} entries written to {args.output}", args)
    else:
        sys.stdout.writelines(lines)
    return Exit.OK


def replay(args: argparse.Namespace) -> int:
    async def body(journal: Reader) -> int:
        history = await read_history(journal, await _named(journal, args))
        if history.erased is not None:
            raise history.lost(history.erased)
        replayed = await replay_run(history.run, history.prefix, history.entries)
        same = replayed.divergence is None and same_state(replayed.state, history.state())
        if args.json:
            print(json.dumps(_replay_json(history, replayed.state, replayed.divergence, same=same)))
        elif replayed.divergence is not None:
            found = replayed.divergence
            print(f"diverged at entry {found.seq}: expected {found.expected}, the record has {found.found}")
        else:
            steps = f"{replayed.state.turns} turns, {replayed.state.calls_made} calls"
            ends = "the same state" if same else "ANOTHER state"
            print(f"replayed {replayed.entries} entries ({steps}) with no model and no tool: {ends}")
        return Exit.OK if same else Exit.FAILED

    return read_journal(args, body)


def resume(args: argparse.Namespace) -> int:
    raised = _budget(args)
    if raised and not args.run:
        raise Invalid("a budget is raised for one run", remedy="name the run: oxios runs resume RUN --tokens N")

    async def body(kernel: Kernel) -> int:
        named = await _named(kernel.journal, args) if args.run is not None else None
        runs = [named] if named else await kernel.supervisor.interrupted()
        finished = [run for run in await unreviewed(kernel) if named in (None, run)]
        if not runs and not finished:
            say(
                "no run was interrupted; to go on with one that is paused, name it (`oxios runs list` shows them)", args
            )
        async with watched(kernel, args):
            taken = [run for run in runs if run not in finished and await _go_on(kernel, run, args, raised)]
            states = [await finish(kernel, run) for run in (*taken, *finished)]
        return max(_report(states, args), Exit.OK if len(taken) + len(finished) >= len(runs) else Exit.FAILED)

    return run_kernel(args, body, listen=True)


async def _named(journal: Reader, args: argparse.Namespace) -> RunId:
    return RunId(await whole_id(journal, "runs", args.run))


async def _go_on(kernel: Kernel, run: RunId, args: argparse.Namespace, raised: Mapping[str, int | float]) -> bool:
    """Resume one run; of several, one that cannot go on is told of and left. Raises: OxiosError, for one named."""
    arguments = {"run": run, "resolution": args.in_doubt, **raised}
    try:
        await kernel.handle(kernel.operator).call("runs.resume", arguments)
    except JournalDown:
        raise
    except OxiosError as error:
        if args.run:
            raise
        say(f"run {run} cannot go on: {error.explain()}", args)
        return False
    return True


def fork(args: argparse.Namespace) -> int:
    async def body(kernel: Kernel) -> int:
        async with watched(kernel, args):
            parent = await _named(kernel.journal, args)
            arguments = {"run": parent, "step": args.step, "text": args.say}
            new = RunId((await kernel.handle(kernel.operator).call("runs.fork", arguments)).text)
            say(f"run {new}, forked from {parent}", args)
            state = await finish(kernel, new)
        return _report([state], args)

    return run_kernel(args, body, listen=True)


def cancel(args: argparse.Namespace) -> int:
    async def body(kernel: Kernel) -> int:
        run = await _named(kernel.journal, args)
        await kernel.handle(kernel.operator).call("runs.cancel", {"run": run})
        return _report([await kernel.runs.state(run)], args, code=Exit.OK)

    return run_kernel(args, body)


VERBS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "list": listing,
    "show": show,
    "resume": resume,
    "cancel": cancel,
    "replay": replay,
    "fork": fork,
    "export": export,
}


def run_json(state: RunState, *, locked: bool = True) -> dict[str, Any]:
    """A run as `--json` shows it; its fields are stable."""
    return {"run": state.run, "status": status_now(state.status, locked=locked), **facts_of(state)}


def _budget(args: argparse.Namespace) -> dict[str, int | float]:
    """What the flags say of a budget, in the syscall's units."""
    micro_usd = None if args.usd is None else round(args.usd * 1_000_000)
    said = {"tokens": args.tokens, "calls": args.calls, "micro_usd": micro_usd, "seconds": args.seconds}
    return {name: value for name, value in said.items() if value is not None}


def _report(states: Sequence[RunState], args: argparse.Namespace, code: int | None = None) -> int:
    """Final answers on stdout; the exit code of the run that went worst."""
    for state in states:
        if args.json:
            print(json.dumps(run_json(state), ensure_ascii=False))
        elif state.output:
            print(state.output)
        if state.status == "paused" and not args.json:
            say(f"run {state.run} is paused: {state.note}", args)
    return max((_EXITS[state.status] for state in states), default=Exit.OK) if code is None else code


def _print_rows(rows: Sequence[Mapping[str, Scalar]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(list(rows), ensure_ascii=False))
        return
    for row in rows:
        started = _when(int(row["started_us"] or 0))
        goal = one_line(str(row["goal"]), _GOAL_CHARS)
        print(f"{row['id']}  {row['status']:<11}  {row['verdict'] or '-':<8}  {started}  {row['turns']:>3}  {goal}")


def _print_run(state: RunState, *, locked: bool) -> None:
    print(f"run      {state.run}\nstatus   {status_now(state.status, locked=locked)}")
    for name, value in (
        ("note", state.note),
        ("parent", state.parent),
        ("seed", state.seed),
        ("owner", state.owner),
        ("model", state.model),
        ("persona", state.env.persona),
        ("started", _when(state.started_us)),
        ("goal", state.directive.goal),
    ):
        if value:
            print(f"{name:<8} {one_line(value, _LINE_CHARS)}")
    usage = state.usage
    print(
        f"spent    {state.turns} turns, {state.calls_made} calls, {usage.input_tokens} + {usage.output_tokens} tokens"
    )
    for number, step in enumerate(state.steps, start=1):
        mark = "ok    " if step.ok else "failed"
        arguments, text = one_line(step.arguments, _GOAL_CHARS), one_line(step.text, _GOAL_CHARS)
        print(f"{number:>4}  {mark}  {step.tool} {arguments}  {text}  ({step.call})")
    for call in state.pending:
        print(f"      {call.status}  {call.tool} {one_line(call.arguments, _GOAL_CHARS)}  ({call.id})")
    if state.output:
        print(f"\n{state.output}")


def _replay_json(history: History, state: RunState, divergence: Divergence | None, *, same: bool) -> dict[str, Any]:
    found = None if divergence is None else asdict(divergence)
    return {
        "run": history.run,
        "same": same,
        "entries": len(history.entries),
        "turns": state.turns,
        "status": state.status,
        "model_calls": 0,
        "tool_calls": 0,
        "divergence": found,
    }


def _with_status(row: Mapping[str, Scalar], *, locked: bool) -> dict[str, Scalar]:
    return {**row, "status": status_now(str(row["status"]), locked=locked)}


def _when(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def status_now(status: str, *, locked: bool) -> str:
    """A run that is called running while no Oxios runs was interrupted."""
    return "interrupted" if status == "running" and not locked else status
