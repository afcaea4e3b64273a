"""A whole kernel whose models are scripted servers, in a hurry."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.lowlevel

from kernel.boot import Kernel, open_kernel
from kernel.clock import SystemClock
from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.ids import RunId, user
from kernel.jsontypes import JsonObject
from kernel.runtime.state import RunState
from kernel.settings import load_settings
from kernel.testing.model_server import Answer, Fault, ModelServer, Reaction, ScriptedCall, model_server

OWNER: Final = user("tester")
WIRES: Final = ("openai", "anthropic")
OTHER: Final = {"openai": "anthropic", "anthropic": "openai"}
WRITE: Final = Answer(calls=(ScriptedCall("write", '{"path": "a.txt", "content": "kept\\n"}'),))
DONE: Final = Answer("It is written.")
HALF: Final = Answer("I think that", finish=None, usage=None, done=False)
NOW: Final = {"Retry-After": "0"}
_LASTS_S: Final = 290.0


class Hasty(SystemClock):
    """Waits between attempts and for keys take no time, and time has passed after them; deadlines last."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        if seconds >= _LASTS_S:
            await super().sleep(seconds)
        else:
            self.ahead_s += seconds
            await anyio.lowlevel.checkpoint()


@dataclass(frozen=True, slots=True)
class Place:
    """A kernel whose models are scripted: `bad/m` of `server`, and `good/m` of `second` where there is one."""

    kernel: Kernel
    server: ModelServer
    work: Path
    clock: Hasty
    second: ModelServer

    async def run(self, budget: Budget | None = None) -> RunState:
        env = ExecEnv(mounts=(Mount(str(self.work)),), model="bad/m", budget=budget or Budget())
        run = await self.kernel.runs.start(Directive("Write a.txt."), env, owner=OWNER)
        return await self.kernel.runs.wait(run)

    async def resume(self, state: RunState) -> RunState:
        """As `oxios runs resume` does."""
        await self.kernel.supervisor.resume(state.run, by=OWNER)
        return await self.kernel.runs.wait(state.run)

    async def go_on(self, state: RunState) -> RunState:
        """The run to its end, or a fork of it where it has ended, with a provider that is well."""
        self.server.script += [DONE] * 3
        self.kernel.supervisor.desk.engine.health.forget("bad")  # As after a while, or a restart.
        if state.status == "paused":
            return await self.resume(state)
        return await self.kernel.runs.wait(await self.kernel.supervisor.fork(state.run, by=OWNER))

    async def kinds(self, run: RunId) -> list[str]:
        await self.kernel.journal.flush()
        return [entry.kind for entry in await self.kernel.journal.read(stream=run)]

    async def said(self, run: RunId, kind: str) -> list[JsonObject]:
        """The payloads of a run's entries of one kind."""
        await self.kernel.journal.flush()
        entries = await self.kernel.journal.read(stream=run)
        return [entry.payload or {} for entry in entries if entry.kind == kind]


@asynccontextmanager
async def place(
    tmp_path: Path, wire: str, script: Sequence[Reaction], more: Mapping[str, str] | None = None, *,
    second: Sequence[Reaction] | None = None,
) -> AsyncGenerator[Place]:  # fmt: skip
    """`second` scripts a provider `good`, of the other wire format, that answers where `bad` cannot."""
    work = tmp_path / "work"
    work.mkdir()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(model_server(script))
        other = await stack.enter_async_context(model_server(second or ()))
        said = {**_provider("bad", wire, server.url), "routing.wait_s": "0"}
        if second is not None:
            said |= {**_provider("good", OTHER[wire], other.url), "routing.fallbacks": "good/m"}
        said |= more or {}
        settings = load_settings(home=tmp_path / "home", cwd=tmp_path, overrides=said, env={})
        clock = Hasty()
        kernel = await stack.enter_async_context(open_kernel(settings, operator=OWNER, clock=clock))
        yield Place(kernel, server, work, clock, other)


def _provider(name: str, wire: str, url: str) -> dict[str, str]:
    at = f"providers.{name}"
    return {f"{at}.kind": wire, f"{at}.base_url": url, f"{at}.first_byte_s": "0.3", f"{at}.idle_s": "0.2"}


def fault(status: int, code: str = "", message: str = "as scripted", **headers: str) -> Fault:
    """A refusal as both formats have it; `Retry_After="7"` is a header."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status, json.dumps({"error": {"code": code, "type": code, "message": message}}), sent)


def names(cases: Sequence[tuple[object, ...]]) -> list[str]:
    """What a table of cases calls them."""
    return [str(case[0]) for case in cases]


async def nothing_is_lost(here: Place, state: RunState) -> None:
    """The write stands, once; each request that a server saw has one receipt; the work comes to its end."""
    assert (here.work / "a.txt").read_text() == "kept\n"
    kinds = await here.kinds(state.run)
    assert kinds.count("call.outcome") == 1
    seen = len(here.server.requests) + len(here.second.requests)
    assert kinds.count("model.reply") + kinds.count("model.failed") == seen
    assert kinds.count("model.reply") <= kinds.count("model.request") <= seen
    (here.work / "a.txt").write_text("changed by hand\n")
    ended = await here.go_on(state)
    assert (ended.status, ended.output) == ("finished", DONE.text), ended.note
    assert (here.work / "a.txt").read_text() == "changed by hand\n"
    assert here.server.unexpected == []
