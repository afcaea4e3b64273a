"""The real program between two scripted providers of different formats: what it shows of models, and how it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from kernel.ports.provider import Usage
from kernel.testing.model_server import Answer, Asked, Fault, ModelServer, Reaction, ScriptedCall, model_server

pytestmark = pytest.mark.anyio

WRITE = Answer(
    calls=(ScriptedCall("write", '{"path": "a.txt", "content": "kept"}'),), usage=Usage(1000, 50, cached_tokens=800)
)
SAID = Answer("It is written.", usage=Usage(1200, 40, cached_tokens=1000))
DEAD = Fault(503, '{"error": {"message": "no servers left"}}', {"Retry-After": "0"})
TIMEOUT_S = 60


class Program:
    """`oxios` with a dear provider `dear` and a cheap one `cheap`, which stands in for it."""

    def __init__(self, tmp_path: Path, dear: ModelServer, cheap: ModelServer) -> None:
        self.work = tmp_path / "work"
        self.work.mkdir()
        self.seed = tmp_path / "seed.toml"
        self.seed.write_text('goal = "Write a.txt."\ncriteria = ["file exists: a.txt"]\n')
        said = {
            "PROVIDERS__DEAR__KIND": "openai",
            "PROVIDERS__DEAR__BASE_URL": dear.url,
            "PROVIDERS__DEAR__INPUT_USD_PER_MTOK": "3",
            "PROVIDERS__DEAR__OUTPUT_USD_PER_MTOK": "15",
            "PROVIDERS__CHEAP__KIND": "anthropic",
            "PROVIDERS__CHEAP__BASE_URL": cheap.url,
            "PROVIDERS__CHEAP__INPUT_USD_PER_MTOK": "1",
            "PROVIDERS__CHEAP__OUTPUT_USD_PER_MTOK": "5",
            "MODEL__DEFAULT": "dear/big",
            "ROUTING__FALLBACKS": "cheap/small",
            "ROUTING__WAIT_S": "0",
        }
        self.env = {**os.environ, "OXIOS_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}
        self.env |= {f"OXIOS__{name}": value for name, value in said.items()}

    async def oxios(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "oxios", *words]
        run = partial(
            subprocess.run, command, cwd=self.work, env=self.env, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        return await anyio.to_thread.run_sync(run)

    async def submit(self, *more: str) -> subprocess.CompletedProcess[str]:
        return await self.oxios("seed", "submit", str(self.seed), "--workspace", str(self.work), *more)


def first_then(first: Reaction, then: Reaction) -> Callable[[Asked], Reaction]:
    """`first` once, then always `then`."""
    left = [first]
    return lambda _asked: left.pop() if left else then


async def test_who_failed_who_answered_and_what_it_cost_is_shown(tmp_path: Path) -> None:
    """Live, in the run's result, and from the journal afterwards: fallbacks, caches, and the best single model."""
    async with (
        model_server(respond=first_then(WRITE, DEAD)) as dear,
        model_server(respond=lambda _asked: SAID) as cheap,
    ):
        program = Program(tmp_path, dear, cheap)
        done = await program.submit()
        stats = await program.oxios("models", "stats")
        told = json.loads((await program.oxios("models", "stats", "--json")).stdout)
    assert (done.returncode, done.stdout.strip()) == (0, "It is written."), done.stderr
    live = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert any(line.startswith("1 dear/scripted-1: 1 call 1000 in (800 cached), 50 out") for line in live), live
    assert sum(line.startswith("✗ dear/big: dear answered 503: no servers left") for line in live) == 3
    assert "→ cheap/small is asked in place of dear/big" in live
    assert any("cheap/scripted-1, 2 turns, 2200 tokens in (1800 cached), 90 out, 0.005150 USD" in line for line in live)
    assert "dear/big (as dear/scripted-1)" in stats.stdout
    assert "the best single model: cheap/small, which would have cost 0.00265 $" in stats.stdout
    assert "→ cheap/small: server: dear answered 503: no servers left" in stats.stdout
    asked = {one["model"]: one for one in told["models"]}
    assert (asked["dear/big"]["failures"], asked["dear/big"]["micro_usd"]) == ({"server": 3}, 3750)
    assert (asked["cheap/small"]["tokens"]["cached"], asked["cheap/small"]["micro_usd"]) == (1000, 1400)
    assert told["best_single"] == {"model": "cheap/small", "micro_usd": 2650}
    assert told["micro_usd"] == 5150


async def test_a_run_whose_providers_are_all_dead_goes_on_with_resume(tmp_path: Path) -> None:
    """It pauses with every model's word and the command to type; typed again when one is back, that finishes it."""
    async with (
        model_server(respond=first_then(WRITE, DEAD)) as dear,
        model_server(respond=lambda _asked: DEAD) as cheap,
    ):
        program = Program(tmp_path, dear, cheap)
        paused = await program.submit("--json", "-q", "--exit-code")
        told = json.loads(paused.stdout)
        assert told["status"] == "paused", paused.stderr
        assert all(f"{model}: server: " in told["note"] for model in ("dear/big", "cheap/small"))
        assert f"try: oxios runs resume {told['run']}" in paused.stderr
        (program.work / "a.txt").write_text("changed by hand")
        cheap.respond = lambda _asked: SAID
        resumed = await program.oxios("runs", "resume", told["run"])
        shown = await program.oxios("runs", "show", told["run"])
    assert resumed.returncode == 0, resumed.stderr
    assert "It is written." in resumed.stdout
    assert (program.work / "a.txt").read_text() == "changed by hand"
    assert "cheap/scripted-1" in shown.stdout


async def test_each_phase_shows_the_model_of_its_route(tmp_path: Path) -> None:
    """A phase that has a model of its own says which answered, and the run says which answered it."""
    async with (
        model_server(respond=lambda _asked: Answer("done.")) as dear,
        model_server(respond=lambda _asked: SAID) as cheap,
    ):
        program = Program(tmp_path, dear, cheap)
        program.env["OXIOS__ROUTING__PHASES__ASSESS"] = "cheap/small"
        done = await program.oxios("run", "Write the file a.txt with three lines about the sea and check it")
    live = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert live[0] == "· assess"
    assert live[1].startswith("cheap/scripted-1 1200 in (1000 cached), 40 out")
    assert any(line.startswith("1 dear/scripted-1: answer") for line in live), live
    assert {asked.body["model"] for asked in cheap.requests} == {"small"}
    assert {asked.body["model"] for asked in dear.requests} == {"big"}
