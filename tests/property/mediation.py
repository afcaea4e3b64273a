"""Random calls under CPython's audit hooks: every file, process and socket event must be permitted.

    mediation.py ROOT PORT SEED CALLS [leak]

Prints one JSON object: how many calls and events there were, which events no running permit covers.
With `leak`, one file is opened past the gate at the end, which must show up as uncovered.

What counts as covered: an event whose object lies within a need of a permit whose body runs at that
moment, with the right the event takes. Three things happen outside permits and are named apart: the
gate looks at paths (O_PATH and directory handles, which read and change nothing), the kernel writes
its own home, and Python reads its own code.
"""

# ruff: noqa: PTH115, PTH117, PTH118, PTH119, PTH120 -- paths in audit events are text, some relative to a descriptor

from __future__ import annotations

import json
import os
import random
import sys
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from kernel.boot import Kernel
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.ids import RunId, call_id
from kernel.runtime.dispatch import Caller
from kernel.syscalls.permit import PermitLedger
from kernel.syscalls.target import UrlTarget
from kernel.testing.provider import Turn
from tests.world import OWNER, World, open_world

PROJECT: Final = Path(__file__).resolve().parents[2]
CODE: Final = (
    str(PROJECT / "kernel"),
    str(PROJECT / "tests"),
    sys.prefix,
    sys.base_prefix,
    *sysconfig.get_paths().values(),
)
SYSTEM_READ: Final = ("/proc/", "/sys/", "/dev/urandom", "/etc/ssl", "/usr/lib/ssl", "/usr/share/zoneinfo")
HINTS: Final = ("", '{"file:/**": "r", "model:**": "x"}', '{"exec:**": "rx", "file:/**": "rw", "model:**": "x"}')
TEMPORARY: Final = ".oxios-"
WARM_CALLS: Final = 200
"""Made before the hook is set, so that what Python imports late is imported."""
PATHS: Final = (
    "a.txt",
    "sub",
    "sub/b.txt",
    ".",
    "out",
    "way-out/outside.txt",
    "in",
    "../outside.txt",
    "/etc/passwd",
    "missing.txt",
    "",
    "sub/../a.txt",
)
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(slots=True)
class Watch:
    """The audit hook and what it saw."""

    ledger: PermitLedger
    home: str
    workspace: str
    on: bool = False
    seen: Counter[str] = field(default_factory=Counter[str])
    covered: int = 0
    uncovered: list[str] = field(default_factory=list[str])

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        check = _CHECKS.get(event) if self.on else None
        if check is None:
            return
        self.on = False
        try:
            self._judge(event, arguments, check)
        except Exception as error:  # noqa: BLE001 -- raised here it would look like the call's own failure
            self.uncovered.append(f"{event} {arguments!r}: {error!r}")
        finally:
            self.on = True

    def _judge(self, event: str, arguments: tuple[Any, ...], check: Any) -> None:
        verdict = check(self, arguments)
        if verdict == "own":
            return
        self.seen[event] += 1
        if verdict == "covered":
            self.covered += 1
        else:
            running = [f"{permit.syscall} {', '.join(map(str, permit.needs))}" for permit in self.ledger.running()]
            self.uncovered.append(f"{event} {arguments!r} while {running}")

    def open(self, arguments: tuple[Any, ...]) -> str:
        path, _, flags = arguments
        if isinstance(path, int):
            return "own"  # a descriptor that was opened, and judged, before
        writes = bool((flags or 0) & _WRITES)
        looks = bool((flags or 0) & getattr(os, "O_PATH", 0)) or bool((flags or 0) & os.O_DIRECTORY)
        name = os.fsdecode(path)
        if looks and not writes:
            return "own"
        if name == os.devnull or (os.path.isabs(name) and self._is_own(name, writes=writes)):
            return "own"
        # A write reads what it replaces: the pre-image, for the undo, is not shown to the model.
        return self._file(name, Rights.WRITE if writes else Rights.READ | Rights.WRITE)

    def change(self, arguments: tuple[Any, ...]) -> str:
        """A path that is made, removed or changed; the last argument is its directory's descriptor."""
        return self._changed(arguments[0], arguments[-1])

    def move(self, arguments: tuple[Any, ...]) -> str:
        source, goal, source_fd, goal_fd = arguments
        verdicts = {self._changed(source, source_fd), self._changed(goal, goal_fd)}
        return verdicts.pop() if len(verdicts) == 1 else "uncovered"

    def _changed(self, path: Any, folder: int) -> str:
        if isinstance(path, int):
            return "own"  # a descriptor that was opened, and judged, before
        name = os.fsdecode(path)
        if not os.path.isabs(name) and folder >= 0:
            name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
        return "own" if self._is_own(name, writes=True) else self._file(name, Rights.WRITE)

    def start(self, arguments: tuple[Any, ...]) -> str:
        return self._by_kind("exec")

    def start_never(self, arguments: tuple[Any, ...]) -> str:
        """Nothing in the tree does this."""
        return f"uncovered {arguments!r}"

    def connect(self, arguments: tuple[Any, ...]) -> str:
        address = arguments[1]
        if not isinstance(address, tuple):
            return "own"  # a socket of this process with itself
        for permit in self.ledger.running():
            pinned = [
                one for target in permit.targets.values() if isinstance(target, UrlTarget) for one in target.addresses
            ]
            if address[0] in pinned and any(need.resource.kind == "net" for need in permit.needs):
                return "covered"
        return "uncovered"

    def _by_kind(self, kind: str) -> str:
        running = self.ledger.running()
        return (
            "covered" if any(need.resource.kind == kind for permit in running for need in permit.needs) else "uncovered"
        )

    def _is_own(self, name: str, *, writes: bool) -> bool:
        if name.startswith(f"{self.home}/"):
            return not any(self._touches_home(permit.needs) for permit in self.ledger.running())
        return not writes and name.startswith((*CODE, *SYSTEM_READ))

    def _touches_home(self, needs: tuple[Need, ...]) -> bool:
        home = Resource.target("file", self.home)
        return any(need.resource.kind == "file" and home.within(need.resource) for need in needs)

    def _file(self, name: str, right: Rights) -> str:
        for permit in self.ledger.running():
            for need in permit.needs:
                if need.resource.kind == "file" and need.right & right and self._within(name, need.resource):
                    return "covered"
        return "uncovered"

    def _within(self, name: str, need: Resource) -> bool:
        """`name` is what the need names, below it, a directory on the way to it, or its temporary neighbour.

        CPython does not tell the directory of a relative open: there the name's own parts must fit.
        """
        needed = "/" + "/".join(part for part in need.segments if part != "**")
        folder = os.path.dirname(needed)
        if not os.path.isabs(name):
            return any(self._within(os.path.join(base, name), need) for base in {self.workspace, folder})
        if os.path.basename(name).startswith(TEMPORARY):
            name = os.path.join(os.path.dirname(name), os.path.basename(needed))
        return needed == name or needed.startswith(f"{name}/") or name.startswith(f"{needed}/")


_CHECKS: Final = {
    "open": Watch.open,
    "os.mkdir": Watch.change,
    "os.rmdir": Watch.change,
    "os.remove": Watch.change,
    "os.chmod": Watch.change,
    "os.chown": Watch.change,
    "os.mkfifo": Watch.change,
    "os.mknod": Watch.change,
    "os.truncate": Watch.start_never,
    "os.symlink": Watch.start_never,
    "os.kill": Watch.start,
    "os.link": Watch.move,
    "os.rename": Watch.move,
    "subprocess.Popen": Watch.start,
    "os.posix_spawn": Watch.start,
    "os.exec": Watch.start,
    "os.fork": Watch.start,
    "os.system": Watch.start,
    "socket.connect": Watch.connect,
    "socket.bind": Watch.connect,
    "socket.sendto": Watch.connect,
}


async def main(root: str, port: int, seed: int, calls: int, *, leak: bool) -> dict[str, Any]:
    settings = {"network.private_hosts": f'["127.0.0.1:{port}"]', "run.turns_max": "10000"}
    async with open_world(Path(root), [Turn(hang=True)] * len(HINTS), settings=settings) as world:
        kernel = world.kernel
        _furnish(world.workspace, Path(root))
        runs = [await world.start(hint=hint, approve="auto") for hint in HINTS]
        callers = [kernel.supervisor.live[run].steps.caller for run in runs]
        await _grant_host(kernel, callers[0], port)
        watch = Watch(kernel.dispatcher.ledger, str(kernel.settings.home), str(world.workspace))
        await _play(world, callers[0], random.Random(0), port, first=0, count=WARM_CALLS)
        sys.addaudithook(watch.hook)
        watch.on = True
        chance = random.Random(seed)
        done = Counter[str]()
        for number in range(calls):
            done += await _play(world, chance.choice(callers), chance, port, first=WARM_CALLS + number, count=1)
        if leak:
            (world.workspace / "a.txt").read_text()
        watch.on = False
    return {
        "calls": dict(done),
        "events": dict(watch.seen),
        "covered": watch.covered,
        "uncovered": watch.uncovered[:20],
        "uncovered_count": len(watch.uncovered),
    }


async def _grant_host(kernel: Kernel, caller: Caller, port: int) -> None:
    """One of the agents may reach the server of this test."""
    host = Resource.target("net", "127.0.0.1", str(port))
    above = next(cap for cap in kernel.capabilities.held(OWNER) if cap.resource.kind == "net")
    await kernel.capabilities.derive(above.id, caller.principal, host, Rights.READ, by=OWNER, origin="test")


def _furnish(workspace: Path, root: Path) -> None:
    (root / "outside.txt").write_text("outside")
    (workspace / "sub").mkdir()
    for name in ("a.txt", "sub/b.txt"):
        (workspace / name).write_text(f"{name} says hello\n")
    (workspace / "out").symlink_to(root / "outside.txt")
    (workspace / "way-out").symlink_to(root)
    (workspace / "in").symlink_to("sub/b.txt")


async def _play(
    world: World, caller: Caller, chance: random.Random, port: int, *, first: int, count: int
) -> Counter[str]:
    """Make random calls; how each of them ended."""
    ended = Counter[str]()
    for number in range(first, first + count):
        tool, arguments = _random_call(world, chance, port)
        assert caller.run is not None
        identity = call_id(RunId(caller.run), number + 1)
        answered = await world.kernel.dispatcher.call(caller, identity, tool, json.dumps(arguments))
        ended[f"{tool} {answered.kind} {answered.payload.get('ok', '')}"] += 1
    return ended


def _random_call(world: World, chance: random.Random, port: int) -> tuple[str, dict[str, Any]]:
    home = str(world.kernel.settings.home)
    paths = [
        *PATHS,
        str(world.workspace / "a.txt"),
        f"{home}/config.toml",
        f"{home}/keys/journal.key",
        f"new/{chance.random()}",
    ]
    path = chance.choice(paths)
    urls = [
        f"http://127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}/away",
        "http://127.0.0.1:1/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
    ]
    commands = ["echo x > made.txt", f"cat {path}", "ls / | wc -l", "cat /proc/1/environ | wc -c"]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("read", {"path": path}),
        ("write", {"path": path, "content": f"{chance.random()}"}),
        ("edit", {"path": path, "old": "hello", "new": "hallo"}),
        ("ls", {"path": path}),
        ("find", {"path": path, "pattern": "*.txt"}),
        ("grep", {"path": path, "pattern": "h.llo"}),
        ("exec", {"argv": ["cat", path]}),
        ("exec", {"command": chance.choice(commands)}),
        ("web_fetch", {"url": chance.choice(urls)}),
        ("web_search", {"query": "x"}),
    ]
    return chance.choice(calls)


if __name__ == "__main__":
    root_, port_, seed_, calls_ = sys.argv[1:5]
    found = anyio.run(partial(main, leak="leak" in sys.argv), root_, int(port_), int(seed_), int(calls_))
    sys.stdout.write(json.dumps(found))
