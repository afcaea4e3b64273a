"""Rehearsing a policy says exactly what living under it would have said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from kernel.ids import RunId
from kernel.runtime.history import read_history
from kernel.runtime.rehearsal import Finding, Rehearsal, past_calls, past_requests, rehearse
from kernel.testing.provider import Turn, call, say
from oxios.rehearse import rules_of
from tests.world import MODEL, World, open_world

pytestmark = pytest.mark.anyio

CALLS: Final = (
    call("ls", path="."),
    call("read", path="a.txt"),
    call("write", path="b.txt", content="b"),
    call("write", path="keep/c.txt", content="c"),
    call("edit", path="a.txt", old="hello", new="hallo"),
    call("exec", argv=["echo", "x"]),
    call("exec", command="echo y"),
    call("exec", command="sudo true"),
    call("read", path="../outside.txt"),
)
SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "the defaults": {},
    "manual": {"approval.mode": "manual"},
    "only writes": {"approval.allow": '["write"]'},
    "auto": {"approval.mode": "auto"},
    "no echo": {"commands.denied": '["echo"]'},
    "a denied place": {"paths.denied": '["WORK/keep"]'},
    "always ask for edits": {"approval.policies.edit": "always"},
}


def _script() -> list[Turn]:
    return [*CALLS, say("done")]


def _settled(root: Path, settings: Mapping[str, str]) -> dict[str, str]:
    return {key: value.replace("WORK", str(root / "work")) for key, value in settings.items()}


async def _live(world: World) -> list[str]:
    """How each call of the script really ended."""
    (world.workspace / "a.txt").write_text("hello")
    (world.workspace / "keep").mkdir(exist_ok=True)
    state = await world.run()
    refusals = [entry.payload for entry in await world.entries(state.run, "call.denied") if entry.payload]
    denied = {str(payload["call"]): payload for payload in refusals}
    return [_word(denied.get(f"{state.run}.{number}")) for number in range(1, len(CALLS) + 1)]


async def _only_run(world: World) -> RunId:
    await world.kernel.journal.flush()
    return RunId(str((await world.kernel.journal.rows("runs"))[0]["id"]))


def _word(denied: Mapping[str, object] | None) -> str:
    if denied is None:
        return "allowed"
    return "asked" if denied["layer"] == "approval" else f"denied by {denied['layer']}"


def _said(finding: Finding | None) -> str:
    assert finding is not None
    return f"denied by {finding.layer}" if finding.outcome == "denied" else finding.outcome


@pytest.mark.parametrize("name", SETTINGS)
async def test_the_rehearsal_agrees_with_the_gate(tmp_path: Path, name: str) -> None:
    """Call by call, what is foretold under new settings is what happens under them."""
    recorded, lived = tmp_path / "recorded", tmp_path / "lived"
    recorded.mkdir()
    lived.mkdir()
    async with open_world(recorded, _script()) as world:
        await _live(world)
        history = await read_history(world.kernel.journal, await _only_run(world))
    async with open_world(lived, _script(), settings=_settled(lived, SETTINGS[name])) as world:
        happened = await _live(world)
    async with open_world(recorded, settings=_settled(recorded, SETTINGS[name])) as world:
        rehearsal = Rehearsal(rules_of(world.kernel.settings), world.kernel.table)
        foretold = [_said(await rehearsal.decide(past)) for past in past_calls(history.entries)]
    assert foretold == happened


async def test_only_what_changes_is_listed(tmp_path: Path) -> None:
    """The same rules change nothing; manual mode changes exactly what ran unasked and acted."""
    async with open_world(tmp_path, _script()) as world:
        await _live(world)
        history = await read_history(world.kernel.journal, await _only_run(world))
        rules, table = rules_of(world.kernel.settings), world.kernel.table
        same = await rehearse(past_calls(history.entries), Rehearsal(rules, table), Rehearsal(rules, table))
        assert (same.calls, same.not_rehearsed, same.changed) == (len(CALLS), 0, ())
        manual = replace(rules, rules=replace(rules.rules, mode="manual"))
        tried = await rehearse(past_calls(history.entries), Rehearsal(rules, table), Rehearsal(manual, table))
        assert [changed.past.tool for changed in tried.changed] == ["write", "write", "edit", "exec", "exec"]


async def test_a_narrower_grant_and_a_new_role_policy_are_foretold(tmp_path: Path) -> None:
    """A policy file that closes a tool to agents shows each call of it."""
    async with open_world(tmp_path, _script()) as world:
        await _live(world)
        history = await read_history(world.kernel.journal, await _only_run(world))
        rules, table = rules_of(world.kernel.settings), world.kernel.table
        closed = tmp_path / "new.csv"
        closed.write_text(f"{rules.policy.read_text()}\np, agent, tool/write, *, deny\n")
        new = Rehearsal(replace(rules, policy=closed), table)
        tried = await rehearse(past_calls(history.entries), Rehearsal(rules, table), new)
        assert [(changed.past.tool, changed.after.layer) for changed in tried.changed] == [("write", "roles")] * 2


async def test_models_that_can_no_longer_be_asked_are_foretold(tmp_path: Path) -> None:
    """By roles, where agents may call no model any more; by the catalog, where their provider is none of its."""
    async with open_world(tmp_path, _script()) as world:
        await _live(world)
        history = await read_history(world.kernel.journal, await _only_run(world))
        table = world.kernel.table
        rules = replace(rules_of(world.kernel.settings), providers=frozenset({MODEL.partition("/")[0]}))
        closed = tmp_path / "new.csv"
        closed.write_text(f"{rules.policy.read_text()}\np, agent, kernel/model, *, deny\n")
        news = (replace(rules, policy=closed), replace(rules, providers=frozenset({"other"})), rules)
        for new, layer in zip(news, ("roles", "catalog", ""), strict=True):
            tried = await rehearse(past_requests(history.entries), Rehearsal(rules, table), Rehearsal(new, table))
            told = [(one.past.tool, one.after.outcome, one.after.layer) for one in tried.changed]
            assert told == ([("model", "denied", layer)] * (len(CALLS) + 1) if layer else [])
            assert tried.not_rehearsed == 0


async def test_runs_whose_mounts_are_gone_are_counted_apart(tmp_path: Path) -> None:
    """Nothing is said of what cannot be resolved any more."""
    async with open_world(tmp_path, [call("ls", path="."), say("done")]) as world:
        state = await world.run()
        await world.kernel.journal.flush()
        history = await read_history(world.kernel.journal, state.run)
        world.workspace.rmdir()
        rehearsal = Rehearsal(rules_of(world.kernel.settings), world.kernel.table)
        tried = await rehearse(past_calls(history.entries), rehearsal, rehearsal)
        assert (tried.calls, tried.not_rehearsed) == (0, 1)
