"""One life of an Oxios whose agents spend as fast as they can, under accounts that they share.

The provider keeps its own book, a line for each request that it would bill, written before it
answers; what it reports may be true, too much, too little, or nothing. With `kill_after_us` > 0 the
process dies that long after its agents began, as at `kill -9`. It ends with 3 where the ledger was
ever over a cap, with 4 where it differed from the receipts when it was opened or at the end, and
with 0 when every agent has ended or waits.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import anyio

from kernel.boot import Kernel, open_kernel
from kernel.clock import SystemClock
from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.errors import Conflict, Invalid, NotFound, OxiosError
from kernel.ids import RunId, user
from kernel.journal.entry import Entry
from kernel.ports.provider import (
    KeyRefused,
    ModelEvent,
    ModelRequest,
    Overloaded,
    ProviderDown,
    RateLimited,
    Reply,
    TextDelta,
    ToolCall,
    Usage,
)
from kernel.settings import load_settings

OWNER: Final = user("tester")
AGENTS: Final = 200
SHARED: Final = 4
SHARED_CAP: Final = Budget(tokens_max=2_500_000, micro_usd_max=2_100_000)
OWN_CAP: Final = Budget(tokens_max=120_000, micro_usd_max=90_000, calls_max=12)
PRICE: Final = {"input_usd_per_mtok": "0.7", "output_usd_per_mtok": "1.9"}
_INPUT, _OUTPUT, _MTOK = 700_000, 1_900_000, 1_000_000
_LIES: Final = ("true", "true", "true", "more", "far more", "less", "none")


def account_of(number: int) -> str:
    """Agents from 160 on have a budget of their own alone."""
    return f"s{number % SHARED}" if number < AGENTS * 4 // 5 else ""


class Hasty(SystemClock):
    """Waits between attempts are cut short; deadlines of a minute and more last."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds if seconds >= 60 else min(seconds, 0.005))


class Biller:
    """Bills what it says in its book; `chance` decides what it does and what it reports."""

    endpoint = ""

    def __init__(self, name: str, book: Path, chance: random.Random) -> None:
        self.name = name
        self._book = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._chance = chance
        self._bytes_per_token = 2 if name == "spare" else 3

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        chance, goal = self._chance, request.messages[1].text
        roll = chance.random()
        if roll < 0.16:
            raise chance.choice(
                [
                    RateLimited("slow down", retry_after_s=0),
                    Overloaded("busy", retry_after_s=0),
                    KeyRefused("no key"),
                    ProviderDown("broken", status=500, retry_after_s=0),
                ]
            )
        tokens_in = sum(len(message.text.encode()) for message in request.messages) // self._bytes_per_token
        tokens_out = chance.randrange(1, request.output_tokens_max + 1)
        usage = self._reported(tokens_in, tokens_out)
        self._bill(goal, tokens_in, min(tokens_out, usage.output_tokens) if usage.reported else tokens_out)
        await anyio.sleep(chance.random() * 0.02)
        if roll < 0.26:
            yield TextDelta("I think")
            raise ProviderDown("dropped", kind="network", retry_after_s=0)
        if roll < 0.30:
            raise ProviderDown("timed out", status=504, retry_after_s=0)
        last = chance.random() < 0.15
        calls = () if last else (ToolCall("", "ls", f'{{"path": "./{"./" * chance.randrange(40)}"}}'),)
        finish = "stop" if last else "tool_calls"
        yield Reply("done" if last else "", calls, finish, usage, f"{self.name}/m-dated")

    def _reported(self, tokens_in: int, tokens_out: int) -> Usage:
        match self._chance.choice(_LIES):
            case "more":
                return Usage(tokens_in * 2, tokens_out + 5_000)
            case "far more":
                return Usage(10**9, 10**9)
            case "less":
                return Usage(tokens_in, tokens_out // 2)  # And it bills that.
            case "none":
                return Usage(reported=False)
            case _:
                return Usage(tokens_in, tokens_out, cached_tokens=tokens_in // 3)

    def _bill(self, goal: str, tokens_in: int, tokens_out: int) -> None:
        micro_usd = -(-(tokens_in * _INPUT + tokens_out * _OUTPUT) // _MTOK)
        number = goal.split("agent ")[1].split(maxsplit=1)[0]
        os.write(self._book, f"{number} {tokens_in + tokens_out} {micro_usd}\n".encode())

    async def aclose(self) -> None:
        os.close(self._book)


def _check(kernel: Kernel) -> None:
    """Raises: SystemExit, where an account is over a cap by one unit."""
    budgets = kernel.supervisor.dispatcher.budgets
    caps = {f"s{number}": SHARED_CAP for number in range(SHARED)} | dict.fromkeys(kernel.supervisor.live, OWN_CAP)
    for account, cap in caps.items():
        if budgets.is_open(account):
            used = budgets.used(account)
            if used.tokens > (cap.tokens_max or 0) or used.micro_usd > (cap.micro_usd_max or 0):
                sys.stderr.write(f"{account} is over its cap: {used}\n")
                os._exit(3)


def live(home: str, workspace: str, book: str, seed: int, kill_after_us: int) -> None:
    anyio.run(_live, Path(home), Path(workspace), Path(book), seed, kill_after_us)


async def _live(home: Path, workspace: Path, book: Path, seed: int, kill_after_us: int) -> None:
    chance = random.Random(seed)
    said = {f"providers.{name}.{key}": value for name in ("main", "spare") for key, value in PRICE.items()}
    said |= {f"providers.{name}.base_url": "http://127.0.0.1:9/v1" for name in ("main", "spare")}
    said |= {"routing.fallbacks": '["spare/m"]', "routing.wait_s": "0"}
    said["log.level"] = "error"
    settings = load_settings(home=home, cwd=workspace, overrides=said, env={})
    billers = {name: Biller(name, book, chance) for name in ("main", "spare")}
    async with open_kernel(settings, operator=OWNER, clock=Hasty(), more_providers=billers) as kernel:
        kernel.journal.subscribe(lambda _entries: _check(kernel))
        await _require_agreement(kernel)
        if kill_after_us:
            signal.setitimer(signal.ITIMER_REAL, kill_after_us / 1_000_000)
        async with anyio.create_task_group() as group:
            for number in range(SHARED):
                group.start_soon(_open, kernel, f"s{number}", chance.random() * 0.3)
            await _agents(kernel, workspace, chance)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _check(kernel)
        await _require_agreement(kernel)


async def _require_agreement(kernel: Kernel) -> None:
    """The ledger is, to the unit, the sum of the receipts. Ends with 4, where it is not."""
    await kernel.journal.flush()
    for number in range(SHARED):
        account = f"s{number}"
        if not await kernel.journal.read(stream=account, kind="budget.opened"):
            continue
        await kernel.supervisor.accounts.reopen(account)
        joined = await kernel.journal.read(stream=account, kind="budget.joined", limit=10_000)
        tokens = micro_usd = calls = 0
        for run in [str((entry.payload or {})["run"]) for entry in joined]:
            more = receipts_of(await kernel.journal.read(stream=run, limit=100_000))
            tokens, micro_usd, calls = tokens + more[0], micro_usd + more[1], calls + more[2]
        found = kernel.supervisor.dispatcher.budgets.used(account)
        if (found.tokens, found.micro_usd, found.calls) != (tokens, micro_usd, calls):
            sys.stderr.write(f"{account}: ledger {found}, receipts {tokens}, {micro_usd}, {calls}\n")
            os._exit(4)


def receipts_of(entries: Iterable[Entry]) -> tuple[int, int, int]:
    """Tokens, micro-dollars and calls that a run's stream accounts for, added up the plain way."""
    tokens = micro_usd = calls = 0
    reserved: Mapping[str, Any] = {}
    for entry in entries:
        payload: Mapping[str, Any] = entry.payload or {}
        calls += entry.kind == "call.outcome"
        if entry.kind in {"model.request", "model.reserved"}:  # What was reserved before has no receipt.
            tokens += reserved.get("tokens", 0)
            micro_usd += reserved.get("micro_usd", 0)
            reserved = payload if entry.kind == "model.reserved" else {}
        elif entry.kind in {"model.reply", "model.failed"}:
            usage = payload.get("usage", {"in": 0, "out": 0})
            tokens += payload.get("tokens", usage["in"] + usage["out"])
            micro_usd += payload.get("micro_usd", 0)
            reserved = {}
    return tokens + reserved.get("tokens", 0), micro_usd + reserved.get("micro_usd", 0), calls


async def _open(kernel: Kernel, account: str, after_s: float) -> None:
    """Sooner or later than the first agents under it."""
    await anyio.sleep(after_s)
    caps = {"tokens_max": SHARED_CAP.tokens_max, "micro_usd_max": SHARED_CAP.micro_usd_max}
    await kernel.handle(OWNER, run=RunId(account)).call("budget.open", caps)


async def _agents(kernel: Kernel, workspace: Path, chance: random.Random) -> None:
    """Start those that never were, go on with those that can, stop some, and wait for all."""
    rows = await kernel.journal.rows("runs", limit=10_000)
    known = {str(row["goal"]).split("agent ")[1] for row in rows}
    runs = [RunId(str(row["id"])) for row in rows if row["status"] in {"running", "paused"}]
    for number in range(AGENTS):
        if str(number) not in known:
            env = ExecEnv(mounts=(Mount(str(workspace)),), budget=OWN_CAP, model="main/m")
            goal = Directive(f"be agent {number}")
            runs.append(await kernel.runs.start(goal, env, owner=OWNER, account=account_of(number)))
    async with anyio.create_task_group() as group:
        group.start_soon(_keep_well, kernel)
        async with anyio.create_task_group() as carried:
            for run in runs:
                carried.start_soon(_carry, kernel, run, chance.random())
        group.cancel_scope.cancel()


async def _keep_well(kernel: Kernel) -> None:
    """No key cools and no breaker opens for long: each agent is to spend until it is refused."""
    while True:
        for name in ("main", "spare"):
            kernel.supervisor.desk.engine.health.forget(name)
        await anyio.sleep(0.005)


async def _carry(kernel: Kernel, run: RunId, fate: float) -> None:
    """Go on with it where it waits; stop it in the middle where its fate says so."""
    for _ in range(3):
        try:
            if not kernel.runs.live(run):
                await kernel.supervisor.resume(run, by=OWNER)
            if fate < 0.1:
                await anyio.sleep(fate)
                await kernel.supervisor.cancel(run, by=OWNER)
            elif fate < 0.3:
                await anyio.sleep(fate / 4)
                await kernel.supervisor.interrupt(run)
            await kernel.runs.wait(run)
        except (Conflict, Invalid, NotFound):
            return
        except OxiosError as error:
            sys.stderr.write(f"{run}: {error.explain()}\n")
            raise
