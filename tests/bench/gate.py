"""The gate alone: one decision about reading a file, by an agent that holds many capabilities."""

from __future__ import annotations

from pathlib import Path

import anyio

from kernel.boot import Kernel, open_kernel
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.directive import Budget, Mount
from kernel.gate.request import Request
from kernel.ids import agent, call_id, new_run_id, user
from kernel.process.supervisor import AGENT_ROLE
from kernel.runtime.dispatch import digest_of
from kernel.syscalls.permit import Permit
from tests.bench import floors
from tests.bench.journal import fresh_home
from tests.bench.kernel_loop import settings_at
from tests.bench.measure import Figure, Stopwatch, from_pairs, paired

CAPABILITIES = 200
DECISION_US_MAX = 60


def decision_us(folder: Path, decisions: int) -> float:
    """µs of CPU for one decision: all layers, to a permit that is released again."""
    home = fresh_home(folder)
    workspace = home / "workspace"
    workspace.mkdir()
    (workspace / "notes.txt").write_text("notes\n", encoding="utf-8")

    async def run() -> float:
        async with open_kernel(settings_at(home, "http://127.0.0.1:9"), operator=user("bench")) as kernel:
            request = await _request(kernel, workspace)
            await _decide(kernel, request, decisions // 10)
            watch = Stopwatch()
            await _decide(kernel, request, decisions)
            return watch.read().cpu_s / decisions * 1e6
        raise AssertionError("the block above returns")

    return anyio.run(run)


async def _request(kernel: Kernel, workspace: Path) -> Request:
    """One read by a fresh agent that holds `CAPABILITIES`, of which one covers it."""
    run = new_run_id(kernel.clock.now_us())
    holder = agent(run)
    others = [Resource.parse(f"file:{workspace}/part{number}/**") for number in range(CAPABILITIES - 1)]
    items = [(resource, Rights.READ) for resource in (*others, Resource.parse(f"file:{workspace}/**"))]
    await kernel.capabilities.mint_all(holder, items, origin="bench")
    kernel.dispatcher.budgets.open(run, Budget())
    syscall = kernel.table.get("read")
    args = syscall.args.model_validate({"path": "notes.txt"})
    mounts = (Mount(str(workspace), "ro"),)
    return Request(
        holder, kernel.operator, AGENT_ROLE, run, call_id(run, 1), syscall, args, digest_of(args), mounts, run
    )


async def _decide(kernel: Kernel, request: Request, times: int) -> None:
    dispatcher = kernel.dispatcher
    for _ in range(times):
        permit = await dispatcher.gate.decide(request)
        assert isinstance(permit, Permit), permit
        dispatcher.ledger.release(permit)
        dispatcher.budgets.refund(permit.reservation)


def decision_figure(folder: Path, *, decisions: int, repetitions: int) -> Figure:
    pairs = paired(lambda: decision_us(folder, decisions), lambda: floors.scan_us(CAPABILITIES, decisions), repetitions)
    name = f"gate decision, {CAPABILITIES} capabilities held"
    return from_pairs(name, "µs of CPU", pairs, "scan of as many strings", DECISION_US_MAX)
