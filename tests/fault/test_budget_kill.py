"""Two hundred agents on shared accounts, lying and failing providers, kills at any moment: no cap is exceeded."""

from __future__ import annotations

import random
import signal
from collections import Counter
from pathlib import Path

import anyio
import pytest

from kernel.ids import RunId
from kernel.journal.view import open_view
from kernel.runtime.history import read_history
from kernel.settings import load_settings
from kernel.storage import make_store
from tests.fault.budget_worker import AGENTS, OWN_CAP, SHARED_CAP, account_of
from tests.fault.lives import nursery

KILLS = 4


def _billed(book: Path) -> dict[str, tuple[int, int]]:
    """What the provider would bill: tokens and micro-dollars, by agent and by account."""
    tokens, money = Counter[str](), Counter[str]()
    for line in book.read_text().splitlines():
        number, used, micro_usd = map(int, line.split())
        for name in filter(None, (str(number), account_of(number))):
            tokens[name] += used
            money[name] += micro_usd
    return {name: (tokens[name], money[name]) for name in tokens}


def _recorded(home: Path) -> dict[str, tuple[int, int]]:
    """The same, as the journal's receipts have it."""

    async def read() -> dict[str, tuple[int, int]]:
        tokens, money = Counter[str](), Counter[str]()
        async with open_view(make_store(load_settings(home=home, overrides={}, env={}))) as view:
            for row in await view.rows("runs", limit=10_000):
                state = (await read_history(view, RunId(str(row["id"])))).state()
                number = int(state.directive.goal.split("agent ")[1])
                for name in filter(None, (str(number), account_of(number))):
                    tokens[name] += state.spent.tokens
                    money[name] += state.spent.micro_usd
        return {name: (tokens[name], money[name]) for name in tokens}

    return anyio.run(read)


@pytest.mark.parametrize("seed", range(2))
def test_no_kill_lie_or_failure_takes_an_account_over_its_cap(tmp_path: Path, seed: int) -> None:
    """By the provider's own book and by the record; and after each death the ledger is the sum of the receipts."""
    chance = random.Random(seed)
    (tmp_path / "work").mkdir()
    killed, recorded = 0, dict[str, tuple[int, int]]()
    with nursery(tmp_path / "log") as born:
        for life in range(KILLS + 1):
            kill_after_us = chance.randrange(400_000, 1_600_000) if life < KILLS else 0
            places = [tmp_path / part for part in ("home", "work", "book")]
            ended = born.live("budget_worker", *places, seed * 100 + life, kill_after_us)
            assert ended.returncode in {0, -signal.SIGALRM}, ended.said[-2_000:]
            killed += ended.returncode != 0
            billed, recorded = _billed(tmp_path / "book"), _recorded(tmp_path / "home")
            for name, (tokens, micro_usd) in recorded.items():
                cap = SHARED_CAP if name.startswith("s") else OWN_CAP
                assert tokens <= (cap.tokens_max or 0), name
                assert micro_usd <= (cap.micro_usd_max or 0), name
                assert billed.get(name, (0, 0)) <= (tokens, micro_usd), name
                assert billed.get(name, (0, 0))[1] <= micro_usd, name
    assert killed >= KILLS // 2
    assert len(recorded) == AGENTS + 4
    shared = [micro_usd for name, (_, micro_usd) in recorded.items() if name.startswith("s")]
    assert max(shared) > (SHARED_CAP.micro_usd_max or 0) * 0.9, "no account came near its cap: nothing was shown"
