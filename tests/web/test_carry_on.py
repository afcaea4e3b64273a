"""What a server takes up at its start: the run of an open turn goes on with its turn, and not beside it."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from kernel.ids import RunId
from kernel.testing.provider import Turn
from ouroboros.session import Session
from oxios.server import carry_on
from tests.cycle_world import TRIVIAL, told
from tests.web.talk_world import open_talks
from webui.conversations import Conversations
from webui.queued import Said

pytestmark = pytest.mark.anyio
WAIT_S = 20


class _Taken:
    """Conversations that go on with each session they are given."""

    def of(self, session: Session) -> _Taken:
        return self

    def resume(self) -> bool:
        return True


async def test_the_run_of_an_open_turn_is_not_taken_up_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn says which run it has when that has ended; a run cut off before is left to its turn all the same."""
    left: list[Collection[RunId]] = []

    async def go_on(*_given: Any, but: Collection[RunId] = ()) -> list[RunId]:
        await anyio.lowlevel.checkpoint()
        left.append(but)
        return []

    monkeypatch.setattr(carry_on, "go_on", go_on)
    async with open_talks(tmp_path, [told(TRIVIAL), Turn(hang=True)]) as world:
        talk = await world.talk()
        await talk.say(Said("do it"))
        with anyio.fail_after(WAIT_S):
            rows = await world.kernel.journal.rows("runs")
            while not rows:
                await anyio.lowlevel.checkpoint()
                rows = await world.kernel.journal.rows("runs")
        async with anyio.create_task_group() as tasks:
            await carry_on.carry_on(world.kernel, cast("Conversations", _Taken()), argparse.Namespace(), tasks)
        assert left == [[rows[0]["id"]]]
