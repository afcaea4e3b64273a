"""How long it takes from a stop until nothing of a run is left: inside a command, a thought, a stream, an approval.

A process of its own holds a whole kernel with gate, journal and sandbox on, and a model server. A stop is
the operator's own syscall `runs.cancel`; the clock ends when it has returned, with the end durable in
the journal, *and* /proc has no process more that the run started, those that left its session included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from kernel.directive import Directive, ExecEnv, Mount
from kernel.gate.asker import Answer as Decision
from kernel.gate.decision import Question
from kernel.ids import ApprovalId, RunId
from kernel.runtime.live import LiveText
from kernel.testing.model_server import Answer, Asked, Reaction, Scene, ScriptedCall, model_server
from tests.bench.measure import Figure
from tests.world import OWNER, World, open_world

SITUATIONS: Final = ("command", "thinking", "streaming", "approval")
STOPS_EACH: Final = 30
P99_MS_MAX: Final = 250.0
TREE: Final = 6
"""Processes of a command at least: the sandbox's own, two shells, three sleepers, one in a session of its own."""
COMMAND: Final = "sleep 300 & setsid sleep 300 & sh -c 'touch begun; sleep 300; true' & wait"
_WAIT_S: Final = 30
_TIMEOUT_S: Final = 600


@dataclass(slots=True)
class Silent:
    """Somebody who listens, and never answers. Implements `kernel.gate.asker.Asker`."""

    asked: anyio.Event = field(default_factory=anyio.Event)

    @property
    def listening(self) -> bool:
        return True

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Decision:
        self.asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        self.asked.set()
        await anyio.sleep_forever()
        raise AssertionError


def respond(asked: Asked) -> Reaction:
    """What the model does: its goal is the situation."""
    goal = str(asked.body["messages"][1]["content"])
    if "thinking" in goal:
        return Scene(Answer(), silent=True)
    if "streaming" in goal:
        return Scene(Answer(text="word " * 20_000), cut=_trickle, pause_s=0.002)
    return Answer(calls=(ScriptedCall("exec", json.dumps({"command": COMMAND})),))


def _trickle(payload: bytes) -> Iterator[bytes]:
    return (payload[at : at + 200] for at in range(0, len(payload), 200))


async def measure(folder: Path, each: int) -> dict[str, list[float]]:
    """Milliseconds of `each` stops in every situation."""
    asker, taken = Silent(), {name: list[float]() for name in SITUATIONS}
    async with model_server(respond=respond) as server:
        settings = {"providers.local.base_url": server.url, "model.default": "local/any"}
        async with open_world(folder, asker=asker, settings=settings) as world:
            inside: dict[str, Callable[[RunId], Awaitable[None]]] = {
                "command": lambda _run: _in_command(world),
                "thinking": lambda _run: _until(lambda: len(server.requests) > seen),
                "streaming": lambda run: _in_stream(world, run),
                "approval": lambda _run: asker.asked.wait(),
            }
            for _ in range(each):
                for name in SITUATIONS:
                    seen, asker.asked = len(server.requests), anyio.Event()
                    taken[name].append(await _stop(world, name, inside[name]))
    return taken


async def _stop(world: World, situation: str, inside: Callable[[RunId], Awaitable[None]]) -> float:
    env = ExecEnv(mounts=(Mount(str(world.workspace)),), model="local/any")
    mode = "manual" if situation == "approval" else "auto"
    run = await world.kernel.runs.start(Directive(situation), env, owner=OWNER, approve=mode)
    with anyio.fail_after(_WAIT_S):
        await inside(run)
    started = descendants()
    begun_s = time.perf_counter()
    await world.kernel.handle(OWNER).call("runs.cancel", {"run": run})
    while left := started & descendants():
        if time.perf_counter() - begun_s > _WAIT_S:
            raise RuntimeError(f"{len(left)} processes are left {_WAIT_S} s after the stop of a {situation}")
        await anyio.sleep(0.0005)
    took_ms = (time.perf_counter() - begun_s) * 1e3
    if (await world.kernel.runs.state(run)).status != "cancelled":
        raise RuntimeError(f"the run of a {situation} was not cancelled")
    (world.workspace / "begun").unlink(missing_ok=True)
    return took_ms


async def _in_command(world: World) -> None:
    await _until(lambda: (world.workspace / "begun").exists() and len(descendants()) >= TREE)


async def _in_stream(world: World, run: RunId) -> None:
    heard = 0

    def hear(event: object) -> None:
        nonlocal heard
        heard += isinstance(event, LiveText)

    end = world.kernel.bus.subscribe(run, hear)
    try:
        await _until(lambda: heard > 3)
    finally:
        end()


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 -- another process makes it so
        await anyio.sleep(0.001)


def descendants(of: int = 0) -> set[tuple[int, int]]:
    """Every process below this one (or `of`), as (id, time of its start): an id alone may be given anew."""
    parents: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It ended while we looked.
        parents[int(entry.name)] = (int(fields[1]), int(fields[19]))
    found: set[tuple[int, int]] = set()
    layer = {of or _own()}
    while layer:
        layer = {one for one, (parent, _) in parents.items() if parent in layer}
        found |= {(one, parents[one][1]) for one in layer}
    return found


def lives(process: tuple[int, int]) -> bool:
    """Whether it is still there: the same process, not one that has its id by now."""
    try:
        stat = Path(f"/proc/{process[0]}/stat").read_text()
    except OSError:
        return False
    return int(stat.rpartition(")")[2].split()[19]) == process[1]


def _own() -> int:
    return int(Path("/proc/self").readlink().name)


def stop_figures(folder: Path, each: int = STOPS_EACH) -> list[Figure]:
    """The 99th percentile over all stops, and that of each situation's own. None where there is no /proc."""
    if not Path("/proc/self").exists():
        return []
    taken = trial(folder, each)
    every = [one for times in taken.values() for one in times]
    name = f"stop until nothing is left, p99 of {len(every)}"
    per = [Figure(f"{name.partition(',')[0]} ({which}), slowest", "ms", max(taken[which])) for which in SITUATIONS]
    return [Figure(name, "ms", p99(every), bound=P99_MS_MAX), *per]


def trial(folder: Path, each: int) -> dict[str, list[float]]:
    """`measure`, in a process of its own. Raises: RuntimeError, where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.stopping", str(folder), str(each)],
        capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"stopping failed:\n{done.stderr[-20000:]}")
    taken: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return taken


def p99(times: list[float]) -> float:
    """The smallest of them that at least 99 of a hundred do not exceed."""
    return sorted(times)[-(-99 * len(times) // 100) - 1]


def main(folder: str, each: str) -> None:
    place = Path(folder) / "stopping"
    place.mkdir()
    print(json.dumps(anyio.run(measure, place, int(each))))


if __name__ == "__main__":
    main(*sys.argv[1:])
