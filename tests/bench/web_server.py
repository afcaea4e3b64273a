"""The whole server in a process of its own, for measures that must not share one with what they measure.

    python -m tests.bench.web_server ROOT [SETTING=VALUE ...]

It prints where it listens and a one-time link, as JSON, then answers each line on its standard input with one
of JSON: `run GOAL` starts a run, `session` makes a session, `live` says how many runs are under way, `commits` when
each outcome of a call was committed, `resident` how many bytes the process holds and what CPU seconds it used. It
ends with its standard input.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import anyio

from kernel.directive import Directive, ExecEnv, Mount
from kernel.journal.entry import Entry
from ouroboros.sessionbook import Making, create
from tests.web.browser import Site, open_site
from tests.world import OWNER

_PAGE_BYTES: Final = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Served:
    """A running server. `pid` is its process."""

    url: str
    link: str
    pid: int
    to: IO[str]
    back: IO[str]

    def ask(self, line: str) -> Any:
        """Blocks until it has answered."""
        self.to.write(f"{line}\n")
        self.to.flush()
        return json.loads(self.back.readline())


@contextmanager
def server(root: Path, settings: Mapping[str, str] | None = None) -> Generator[Served]:
    """Until the block ends. Raises: RuntimeError, where it did not start."""
    given = [f"{name}={value}" for name, value in (settings or {}).items()]
    command = [sys.executable, "-m", "tests.bench.web_server", str(root), *given]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {process.wait()} before it listened")
        said = json.loads(line)
        yield Served(said["url"], said["link"], process.pid, process.stdin, process.stdout)
        process.stdin.close()
        process.wait(60)


async def _serve(root: Path, settings: Mapping[str, str]) -> None:
    committed: dict[str, int] = {}

    def hear(entries: tuple[Entry, ...]) -> None:
        now_us = site.kernel.clock.now_us()
        committed.update((str((one.payload or {})["call"]), now_us) for one in entries if one.kind == "call.outcome")

    async with open_site(root, settings=settings) as site:
        site.kernel.journal.subscribe(hear)
        print(json.dumps({"url": site.url, "link": site.link()}), flush=True)
        while line := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
            print(json.dumps(await _answer(site, line, committed)), flush=True)


async def _answer(site: Site, line: str, committed: dict[str, int]) -> object:
    word, _, rest = line.partition(" ")
    mounts = (Mount(str(site.workspace)),)
    match word:
        case "run":
            return await site.kernel.runs.start(Directive(rest), ExecEnv(mounts), owner=OWNER, approve="auto")
        case "session":
            making = Making(OWNER, mounts, approve="auto")
            return (await create(site.kernel.journal, making, site.kernel.clock.now_us())).id
        case "commits":
            return committed
        case "live":
            return len(site.kernel.supervisor.live)
        case _:
            gc.collect()
            pages = int((await anyio.Path("/proc/self/statm").read_text()).split()[1])
            return {"bytes": pages * _PAGE_BYTES, "cpu_s": time.process_time(), "at_s": time.monotonic()}


if __name__ == "__main__":
    _root, *_given = sys.argv[1:]
    anyio.run(_serve, Path(_root), dict(one.split("=", 1) for one in _given))
