"""The engine at work in a whole kernel: other keys, other models, and settings that change under way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernel.boot import Kernel, open_kernel
from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.jsontypes import JsonValue
from kernel.ports.provider import KeyRefused, Overloaded
from kernel.runtime.state import RunState
from kernel.settings import load_settings
from kernel.settings.load import Resolved, resolve
from kernel.testing.model_server import Answer, Asked, Fault, Reaction, ScriptedCall, model_server
from kernel.testing.provider import ScriptedProvider, Turn, call, say
from ouroboros.cycle import Cycle
from ouroboros.projection import PROJECTORS
from ouroboros.sessionbook import Making, create
from tests.world import OWNER

pytestmark = pytest.mark.anyio

_FALLBACK = {
    "providers.main.kind": "embedded",
    "providers.spare.kind": "embedded",
    "routing.fallbacks": '["spare/m"]',
    "routing.wait_s": "0",
}


async def _run(
    root: Path, first: list[Turn], second: list[Turn], budget: Budget | None = None
) -> tuple[RunState, list[str]]:
    """A run whose model is `main/m`, with `spare/m` to fall back on; its state and the kinds of its entries."""
    work = root / "work"
    work.mkdir()
    settings = load_settings(home=root / "home", cwd=root, overrides=_FALLBACK, env={})
    providers = {"main": ScriptedProvider(first, name="main"), "spare": ScriptedProvider(second, name="spare")}
    async with open_kernel(settings, operator=OWNER, more_providers=providers) as kernel:
        env = ExecEnv(mounts=(Mount(str(work)),), model="main/m", budget=budget or Budget())
        state = await kernel.runs.wait(await kernel.runs.start(Directive("go"), env, owner=OWNER))
        await kernel.journal.flush()
        kinds = [entry.kind for entry in await kernel.journal.read(stream=state.run)]
    return state, kinds


async def test_another_model_answers_where_the_first_is_refused(tmp_path: Path) -> None:
    """The run goes on, says which model answered, and the record says why it changed."""
    refused = Turn(error=KeyRefused("no such key", remedy="set one"))
    state, kinds = await _run(tmp_path, [call("ls", path="."), refused], [say("from the spare")])
    assert (state.status, state.output) == ("finished", "from the spare")
    assert kinds.count("model.fallback") == 1
    assert kinds.count("model.failed") == 1


async def test_all_models_down_pauses_and_names_each(tmp_path: Path) -> None:
    """What every one of them said is in the note, and the run can be resumed."""
    busy = Turn(error=Overloaded("too busy", remedy="wait", retry_after_s=100))
    state, _ = await _run(tmp_path, [busy] * 3, [busy] * 3)
    assert state.status == "paused"
    assert "main/m" in state.note
    assert "spare/m" in state.note


async def test_a_model_that_never_answers_is_left_at_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its provider waits for, a request ends in time and the next model is asked."""
    monkeypatch.setattr("kernel.runtime.sending.MODEL_DEADLINE_S", 0.05)
    monkeypatch.setattr("kernel.engine.plan.ATTEMPTS_MAX", 1)
    state, kinds = await _run(tmp_path, [Turn(hang=True)], [say("from the spare")])
    assert (state.status, state.output) == ("finished", "from the spare")
    assert (kinds.count("model.failed"), kinds.count("model.fallback")) == (1, 1)


async def test_a_spent_budget_is_not_taken_to_another_model(tmp_path: Path) -> None:
    """A cap is a cap, whoever would answer."""
    state, kinds = await _run(tmp_path, [say("x")], [say("y")], Budget(tokens_max=10))
    assert state.status == "paused"
    assert "budget" in state.note
    assert "model.fallback" not in kinds


async def test_a_second_key_is_used_where_the_first_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP: 401 for one key, the answer for the other, and neither value in the journal."""
    monkeypatch.setenv("FIRST_KEY", "sk-first-key-of-two-000")
    monkeypatch.setenv("SECOND_KEY", "sk-second-key-of-two-000")

    def respond(asked: Asked) -> Reaction:
        good = asked.headers["Authorization"].endswith("sk-second-key-of-two-000")
        return Answer("hello") if good else Fault(401, '{"error": {"message": "wrong key"}}')

    async with model_server(respond=respond) as server:
        said = {
            "providers.local.base_url": server.url,
            "providers.local.keys": '["FIRST_KEY", "SECOND_KEY"]',
        }
        settings = load_settings(home=tmp_path / "home", cwd=tmp_path, overrides=said, env=os.environ)
        async with open_kernel(settings, operator=OWNER) as kernel:
            env = ExecEnv(mounts=(Mount(str(tmp_path)),), model="local/m")
            state = await kernel.runs.wait(await kernel.runs.start(Directive("hi"), env, owner=OWNER))
            again = await kernel.runs.wait(await kernel.runs.start(Directive("hi"), env, owner=OWNER))
        assert (state.status, state.output, again.status) == ("finished", "hello", "finished")
        assert len(server.requests) == 3
    assert b"key-of-two" not in (tmp_path / "home" / "journal" / "oxios.db").read_bytes()


async def test_settings_that_change_hold_from_the_next_request_on(tmp_path: Path) -> None:
    """A provider that moves while a run works is asked at its new place, without a restart."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    config = home / "config.toml"

    def load() -> Resolved:
        return resolve(home=home, cwd=tmp_path, overrides={}, env={})

    async with model_server([Answer("from the second")]) as second:

        def move(_asked: Asked) -> Reaction:
            config.write_text(f'[providers.local]\nbase_url = "{second.url}"\n# moved\n')
            return Answer(calls=(ScriptedCall("ls", '{"path": "."}'),))

        async with model_server(respond=move) as first:
            config.write_text(f'[providers.local]\nbase_url = "{first.url}"\n')
            async with open_kernel(load().settings, operator=OWNER, reload_settings=load) as kernel:
                env = ExecEnv(mounts=(Mount(str(work)),), model="local/m")
                state = await kernel.runs.wait(await kernel.runs.start(Directive("go"), env, owner=OWNER))
            assert (state.status, state.output) == ("finished", "from the second")
            assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_what_was_added_a_moment_ago_is_known_to_the_first_who_asks(tmp_path: Path) -> None:
    """A provider and a default model of a changed file: a run, a question and a session's first phase ask them."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    config = home / "config.toml"

    def load() -> Resolved:
        return resolve(home=home, cwd=tmp_path, overrides={}, env={})

    async def ask(kernel: Kernel, how: str) -> None:
        if how == "run":
            await kernel.runs.wait(await kernel.runs.start(Directive("hi"), ExecEnv((Mount(str(work)),)), owner=OWNER))
        elif how == "question":
            words: list[JsonValue] = [{"role": "user", "text": "hi"}]
            await kernel.handle(OWNER).call("ask_model", {"model": "added/m", "purpose": "other", "messages": words})
        else:
            made = Making(OWNER, (Mount(str(work)),), model="", budget=Budget())
            session = await create(kernel.journal, made, kernel.clock.now_us())
            await Cycle(kernel, session).run("hi")

    for how in ("run", "question", "session"):
        config.write_text("")
        async with (
            model_server(respond=lambda _asked: Answer("hello")) as server,
            open_kernel(load().settings, operator=OWNER, more_projectors=PROJECTORS, reload_settings=load) as kernel,
        ):
            config.write_text(f'[model]\ndefault = "added/m"\n[providers.added]\nbase_url = "{server.url}"\n')
            await ask(kernel, how)
            assert server.requests, how
            assert {asked.body["model"] for asked in server.requests} == {"m"}


async def test_settings_that_cannot_be_put_in_force_leave_those_that_are(tmp_path: Path) -> None:
    """A provider that cannot be made of the new file disturbs no run that asks another."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    config = home / "config.toml"

    def load() -> Resolved:
        return resolve(home=home, cwd=tmp_path, overrides={}, env={})

    async with model_server([Answer("hello")]) as server:
        good = f'[providers.local]\nbase_url = "{server.url}"\n'
        config.write_text(good)
        async with open_kernel(load().settings, operator=OWNER, reload_settings=load) as kernel:
            config.write_text(f'{good}[providers.odd]\nkind = "vendor"\nbase_url = "http://127.0.0.1:9/v1"\n')
            env = ExecEnv((Mount(str(work)),), model="local/m")
            state = await kernel.runs.wait(await kernel.runs.start(Directive("hi"), env, owner=OWNER))
            assert (state.status, state.output) == ("finished", "hello"), state.note
            assert "odd" not in kernel.settings.providers
