"""One life of an Oxios that may be killed: start or resume a run, and say how it ended.

With `kill_after_us` > 0 the process dies that long after the run began: by an interval timer whose
signal nobody handles, so it ends as at `kill -9`, in the middle of whatever it was doing.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Literal, cast

import anyio

from kernel.boot import Kernel, open_kernel
from kernel.directive import Directive, ExecEnv, Mount
from kernel.ids import RunId, user
from kernel.runtime.doubt import Resolution
from kernel.settings import load_settings

OWNER = user("tester")
Verb = Literal["start", "resume"]


def live(home: str, workspace: str, verb: Verb, what: str, kill_after_us: int) -> None:
    """`what` is the file of the goal to start with, or how to resolve the call that is in doubt."""
    anyio.run(_live, home, workspace, verb, what, kill_after_us)


async def _live(home: str, workspace: str, verb: Verb, what: str, kill_after_us: int) -> None:
    settings = load_settings(home=Path(home), overrides={}, env={})
    async with open_kernel(settings, operator=OWNER) as kernel:
        if kill_after_us:
            signal.setitimer(signal.ITIMER_REAL, kill_after_us / 1_000_000)
        run = await _start(kernel, workspace, what) if verb == "start" else await _resume(kernel, what)
        state = await kernel.runs.wait(run)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write(json.dumps({"run": run, "status": state.status, "note": state.note}))


async def _start(kernel: Kernel, workspace: str, goal_file: str) -> RunId:
    goal = await anyio.Path(goal_file).read_text()
    env = ExecEnv(mounts=(Mount(workspace),))
    return await kernel.runs.start(Directive(goal), env, owner=OWNER)


async def _resume(kernel: Kernel, resolution: str) -> RunId:
    rows = await kernel.journal.rows("runs", order="started_us")
    run = RunId(str(rows[0]["id"]))
    await kernel.supervisor.resume(run, by=OWNER, resolution=cast("Resolution | None", resolution or None))
    return run
