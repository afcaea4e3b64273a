"""The sample Seed over HTTP: a scripted OpenAI-compatible server, streamed, with parallel calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from kernel.testing.model_server import Answer, Fault, Reaction, Scene, ScriptedCall, model_server

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.anyio

_SEED = """
goal = "Write a greeting and a note, look at both, count the words of the greeting."
criteria = [
  "file exists: notes/greeting.txt",
  "file notes/greeting.txt contains \\"hello\\"",
  "command succeeds: test $(wc -w < notes/greeting.txt) -eq 2",
  "output contains: two words",
]
"""


def _call(tool: str, /, **arguments: object) -> ScriptedCall:
    return ScriptedCall(tool, json.dumps(arguments), pieces=3)


def _crumbs(body: bytes) -> Iterable[bytes]:
    """Seven bytes at a time: no packet ends where an event or a character does."""
    return (body[start : start + 7] for start in range(0, len(body), 7))


def _script() -> list[Reaction]:
    writes = (
        _call("write", path="notes/greeting.txt", content="hello wörld\n"),
        _call("write", path="notes/note.txt", content="a note\n"),
    )
    looks = (_call("read", path="notes/greeting.txt"), _call("read", path="notes/note.txt"), _call("ls", path="notes"))
    return [
        Scene(Answer(reasoning="First I write.", calls=writes), cut=_crumbs),
        Scene(Answer(text="Now I look.", calls=looks), cut=_crumbs),
        Scene(Answer(calls=(_call("exec", command="wc -w notes/greeting.txt"),)), cut=_crumbs),
        Scene(Answer(text="The greeting has two words."), cut=_crumbs),
    ]


async def _submit(tmp_path: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    (tmp_path / "seed.toml").write_text(_SEED)
    words = ["seed", "submit", str(tmp_path / "seed.toml"), "--workspace", str(work), "--model", "local/any", *more]
    return await _oxios(tmp_path, url, *words)


async def _oxios(tmp_path: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The program, with a provider `local` at `url`, its key in a variable."""
    env = {
        **os.environ,
        "OXIOS_HOME": str(tmp_path / "home"),
        "LOCAL_KEY": "sk-local-secret-value",
        "OXIOS__PROVIDERS__LOCAL__BASE_URL": url,
        "OXIOS__PROVIDERS__LOCAL__KEY_ENV": "LOCAL_KEY",
    }
    command = [sys.executable, "-m", "oxios", *words]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    return await anyio.to_thread.run_sync(run)


def _tool_messages(body: Any) -> Sequence[tuple[str, str]]:
    return [(one["tool_call_id"], one["content"]) for one in body["messages"] if one["role"] == "tool"]


async def test_the_seed_is_carried_out_over_http_and_passes(tmp_path: Path) -> None:
    """Fragments, parallel calls and split characters arrive whole; the criteria pass; the key stays secret."""
    async with model_server(_script()) as server:
        done = await _submit(tmp_path, server.url, "--json", "--exit-code")
        assert done.returncode == 0, done.stderr
        assert server.unexpected == []
    told = json.loads(done.stdout)
    assert (told["status"], told["passed"], told["turns"]) == ("finished", True, 4)
    assert told["output"] == "The greeting has two words."
    assert (told["tokens_in"], told["tokens_out"]) == (400, 80)
    assert (tmp_path / "work/notes/greeting.txt").read_text() == "hello wörld\n"
    assert all(asked.headers["Authorization"] == "Bearer sk-local-secret-value" for asked in server.requests)
    for file in (path for path in (tmp_path / "home").rglob("*") if path.is_file()):
        assert b"sk-local-secret-value" not in file.read_bytes(), file


async def test_results_answer_the_calls_by_id_and_the_prefix_never_changes(tmp_path: Path) -> None:
    """Each request repeats the one before it byte for byte, and every call has its own result."""
    async with model_server(_script()) as server:
        done = await _submit(tmp_path, server.url, "-q")
        assert done.returncode == 0, done.stderr
        bodies = [asked.body for asked in server.requests]
    for earlier, later in pairwise(bodies):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        assert later["tools"] == earlier["tools"]
        assert later["stream"] is True
    looked = bodies[2]["messages"][-4]
    assert looked["role"] == "assistant"
    assert [call["function"]["name"] for call in looked["tool_calls"]] == ["read", "read", "ls"]
    results = _tool_messages(bodies[2])[-3:]
    assert [identity for identity, _ in results] == [call["id"] for call in looked["tool_calls"]]
    assert results[0][1] == "hello wörld\n"
    assert results[1][1] == "a note\n"


async def test_a_server_that_is_gone_pauses_the_run_and_a_resume_finishes_it(tmp_path: Path) -> None:
    """What was done before stands; nothing is done twice."""
    script = _script()
    broken: list[Reaction] = [script[0], *([Fault(503, "{}", {"Retry-After": "0"})] * 8)]
    async with model_server(broken) as server:
        done = await _submit(tmp_path, server.url, "--json", "--exit-code")
        told = json.loads(done.stdout)
        assert (done.returncode, told["status"]) == (5, "paused"), done.stderr
    (tmp_path / "work/notes/note.txt").write_text("changed by hand\n")
    async with model_server(script[1:]) as server:
        resumed = await _oxios(tmp_path, server.url, "runs", "resume", told["run"], "--json")
        assert resumed.returncode == 0, resumed.stderr
        again = json.loads(resumed.stdout)
        assert (again["status"], again["verdict"]["passed"]) == ("finished", True)
        assert (tmp_path / "work/notes/note.txt").read_text() == "changed by hand\n"
