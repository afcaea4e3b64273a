"""`kill -9` at any moment: what was acknowledged is there, and the journal goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import anyio

from kernel.journal.entry import Entry
from kernel.journal.opening import JournalFiles
from tests.journal_world import audit, opened, run_row

_ROOT = Path(__file__).resolve().parents[2]
_KILLS = 24

_CHILD = """
import sys
from pathlib import Path
import anyio
from tests.journal_world import draft, opened, run_row

async def write(journal, stream):
    number = 0
    while True:
        number += 1
        journal.append(draft(number, stream=stream, kind="model.request"))
        entry = await journal.append(draft(number, stream=stream, blobs=(b"%d" % number,)))
        sys.stdout.write(f"{entry.seq} {entry.digest}\\n")
        sys.stdout.flush()

async def main():
    async with opened(Path(sys.argv[1]), projectors={"call.intent": run_row}) as journal:
        async with anyio.create_task_group() as group:
            for number in range(4):
                journal.enter_stream()
                group.start_soon(write, journal, f"r{number}")

anyio.run(main)
"""


def _killed(home: Path, chance: random.Random) -> list[tuple[int, str]]:
    """Run the child, kill it after a random number of acknowledged entries; returns those."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(home)], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines: list[str] = []
    try:
        lines += [child.stdout.readline() for _ in range(chance.choice([0, 1, 2, 5, 20, 80]))]
    finally:
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait(10)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(int(seq), digest) for seq, digest in whole]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """After each of two dozen kills every acknowledged entry stands at its number, and all verifies."""
    chance = random.Random(20_261_120)
    acknowledged: dict[int, str] = {}
    for _ in range(_KILLS):
        for seq, digest in _killed(tmp_path, chance):
            assert seq not in acknowledged, "a number was given twice"
            acknowledged[seq] = digest
        if not JournalFiles(tmp_path).checkpoints.exists():
            continue
        report = audit(tmp_path, projectors={"call.intent": run_row})
        assert report.findings == []
    assert acknowledged

    entries = anyio.run(_all, tmp_path)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    by_seq = {entry.seq: entry.digest for entry in entries}
    assert {seq: by_seq.get(seq) for seq in acknowledged} == acknowledged
    assert audit(tmp_path, projectors={"call.intent": run_row}).findings == []


async def _all(home: Path) -> list[Entry]:
    async with opened(home, projectors={"call.intent": run_row}) as journal:
        return await journal.read(limit=1_000_000)
