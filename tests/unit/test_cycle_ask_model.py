"""`ask_model` in a real kernel: what is journalled, what it costs, and what it will not do."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from kernel.errors import AccessDenied, CapabilityRevoked, Invalid, NotFound, ProviderDown
from kernel.handle.ask_model import ASKED_BYTES_MAX
from kernel.ids import RunId, agent
from kernel.runtime.live import LiveEvent, LiveText
from kernel.testing.provider import Expect, Turn, call, say
from tests.cycle_world import MODEL, OWNER, TRIVIAL, CycleWorld, open_cycle, told

pytestmark = pytest.mark.anyio


def _args(**more: object) -> dict[str, object]:
    return {"model": MODEL, "purpose": "assess", "messages": [{"role": "user", "text": "hello"}], **more}


async def _ask(world: CycleWorld, **more: object) -> str:
    handle = world.kernel.handle(OWNER, run=world.session.id)
    return (await handle.call("ask_model", _args(**more))).text  # type: ignore[arg-type] -- JSON all of it


async def test_a_question_stands_in_the_stream_with_its_purpose(tmp_path: Path) -> None:
    """Request and reply are entries of the caller's stream between the call's own two; the run table knows nothing."""
    async with open_cycle(tmp_path, [say("Hi.", expect=Expect(messages=1))]) as world:
        assert await _ask(world) == "Hi."
        kinds = [one.kind for one in await world.entries()]
        assert kinds == ["session.created", "call.intent", "model.request", "model.reply", "call.outcome"]
        reply = (await world.entries("model.reply"))[0].payload or {}
        assert (reply["purpose"], reply["usage"]) == ("assess", {"in": 10, "out": 5, "cached": 0})
        assert await world.kernel.journal.rows("runs") == []


async def test_the_schema_is_told_after_the_instructions(tmp_path: Path) -> None:
    """A schema becomes part of the system message; without either there is none."""
    async with open_cycle(tmp_path, [say("{}")]) as world:
        await _ask(world, system="Be brief.", answer_schema={"type": "object"})
        system = world.provider.requests[0].messages[0]
        assert (system.role, system.text.splitlines()[0], system.text.splitlines()[-1]) == (
            "system", "Be brief.", '{"type": "object"}',
        )  # fmt: skip


async def test_deltas_are_heard_under_the_streams_name(tmp_path: Path) -> None:
    """Whoever listens to the session hears the text as it comes."""
    heard: list[LiveEvent] = []
    async with open_cycle(tmp_path, [say("one\ntwo")]) as world:
        world.kernel.bus.subscribe(world.session.id, heard.append)
        await _ask(world)
    assert heard == [LiveText(world.session.id, "one\n"), LiveText(world.session.id, "two")]


async def test_tools_are_described_and_never_carried_out(tmp_path: Path) -> None:
    """What the model would call is told in the data, and no call of it is made."""
    async with open_cycle(tmp_path, [call("write", path="a.txt", content="x")]) as world:
        handle = world.kernel.handle(OWNER, run=world.session.id)
        result = await handle.call("ask_model", _args(describe_tools=True))  # type: ignore[arg-type] -- as above
        assert [one["name"] for one in result.data["calls"]] == ["write"]  # type: ignore[index,call-overload,union-attr] -- as above
        assert "write" in {tool.name for tool in world.provider.requests[0].tools}
        assert not (world.workspace / "a.txt").exists()


async def test_a_failure_is_recorded_and_raised(tmp_path: Path) -> None:
    """An outage leaves model.failed with its code, and nothing pretends to be a reply."""
    async with open_cycle(tmp_path, [Turn(error=ProviderDown("gone", retry_after_s=0))] * 3) as world:
        with pytest.raises(ProviderDown):
            await _ask(world)
        failed = (await world.entries("model.failed"))[0].payload or {}
        assert (failed["code"], failed["purpose"]) == ("provider_down", "assess")
        assert await world.entries("model.reply") == []


async def test_a_runs_own_stream_is_refused(tmp_path: Path) -> None:
    """A run's entries are its state: nobody writes a reply between them."""
    async with open_cycle(tmp_path, [told(TRIVIAL), say("Done.")]) as world:
        result = await world.cycle.run("do it")
        handle = world.kernel.handle(OWNER, run=RunId(result.run))
        with pytest.raises(Invalid, match="a run's own stream"):
            await handle.call("ask_model", _args())  # type: ignore[arg-type] -- as above
        assert len(world.provider.requests) == 2


async def test_an_unknown_model_and_an_overlong_question_are_refused(tmp_path: Path) -> None:
    """Both before anything is sent; the largest question that fits is sent."""
    async with open_cycle(tmp_path, [say("ok")]) as world:
        with pytest.raises(NotFound):
            await _ask(world, model="nobody/x")
        with pytest.raises(Invalid, match="bytes"):
            await _ask(world, system="x" * (ASKED_BYTES_MAX - 4))
        assert world.provider.requests == []
        assert await _ask(world, system="x" * (ASKED_BYTES_MAX - 5)) == "ok"


async def test_who_may_not_ask_the_model_asks_nothing(tmp_path: Path) -> None:
    """Without a capability for the model the gate refuses, and a revocation ends a request under way."""
    async with open_cycle(tmp_path, [Turn(hang=True)]) as world:
        stranger = world.kernel.handle(agent(RunId("r0")), run=world.session.id)
        with pytest.raises(AccessDenied):
            await stranger.call("ask_model", _args())  # type: ignore[arg-type] -- as above
        assert world.provider.requests == []
        async with anyio.create_task_group() as group:
            group.start_soon(_revoke_when_asked, world)
            with pytest.raises(CapabilityRevoked):
                await _ask(world)


async def _revoke_when_asked(world: CycleWorld) -> None:
    while not world.provider.requests:
        await anyio.lowlevel.checkpoint()
    caps = world.kernel.capabilities
    model = next(cap for cap in caps.held(OWNER) if cap.resource.kind == "model")
    await caps.revoke(model.id, by=OWNER)
