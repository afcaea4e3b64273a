"""The same tool rounds with everything on: gate, journal, projections, live steps, and somebody who watches.

python -m tests.bench.kernel_loop URL FOLDER ROUNDS [RUNS]     prints what it took, as JSON

FOLDER holds the workspace (the file to read) and gets the home.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import anyio

from kernel.boot import Kernel, open_kernel
from kernel.directive import Directive, ExecEnv, Mount
from kernel.ids import user
from kernel.settings import Settings, load_settings
from tests.bench.measure import Spent, Stopwatch
from tests.bench.model_process import goal_of, provider_at


def settings_at(folder: Path, url: str) -> Settings:
    """The defaults, but for the home and one provider at `url`."""
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    return load_settings(home=home, env=provider_at(url))


async def _runs(kernel: Kernel, folder: Path, runs: int, rounds: int) -> None:
    """So many runs at once, each to its end. Raises: RuntimeError, where one did not do its rounds."""
    env = ExecEnv((Mount(str(folder / "workspace")),))

    async def one(topic: int) -> None:
        run = await kernel.runs.start(Directive(goal_of(topic)), env, owner=kernel.operator)
        state = await kernel.runs.wait(run)
        if state.status != "finished" or state.turns != rounds + 1:
            raise RuntimeError(f"a run of {rounds} rounds ended {state.status} after {state.turns}: {state.note}")

    async with anyio.create_task_group() as group:
        for topic in range(runs):
            group.start_soon(one, topic)


async def main(url: str, folder: Path, rounds: int, runs: int) -> Spent:
    """What `runs` runs at once took; a short one before them warms everything up."""
    async with open_kernel(settings_at(folder, url), operator=user("bench")) as kernel:
        heard: Counter[str] = Counter()
        kernel.bus.subscribe(None, lambda event: heard.update({event.run: len(event.text)}))
        await _runs(kernel, folder, 1, rounds)
        watch = Stopwatch()
        await _runs(kernel, folder, runs, rounds)
        spent = watch.read()
        if len(heard) != 1 + runs:
            raise RuntimeError(f"of {1 + runs} runs the text of {len(heard)} was heard")
        return spent
    raise AssertionError("the block above returns")


if __name__ == "__main__":
    _url, _folder, _rounds, *_rest = sys.argv[1:]
    _spent = anyio.run(main, _url, Path(_folder), int(_rounds), int(_rest[0]) if _rest else 1)
    print(json.dumps(asdict(_spent)))
