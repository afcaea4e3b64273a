"""The head file and the file of checkpoints, whole and torn."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.journal.head import SLOT_BYTES, CheckpointFile, HeadFile, read_checkpoints, read_head
from kernel.journal.note import Checkpoint, Signer

SIGNER = Signer("oxios/test", bytes(range(32)))
TRUSTED = [SIGNER.key]


def _note(size: int) -> str:
    return SIGNER.sign(Checkpoint("oxios/test", size, bytes(32)).text())


def _written(path: Path, sizes: range) -> None:
    head = HeadFile(path)
    head.open()
    for size in sizes:
        head.write(_note(size))
    head.close()


def test_the_newest_write_is_read(tmp_path: Path) -> None:
    """After many writes the two newest stand in the file, and the newest is known as such."""
    _written(tmp_path / "head", range(1, 1001))
    reading = read_head(tmp_path / "head", TRUSTED)
    assert reading.newest is not None
    assert reading.newest.checkpoint.size == 1000
    assert {signed.checkpoint.size for signed in reading.good} == {999, 1000}
    assert not reading.wrong
    assert (tmp_path / "head").stat().st_size == 2 * SLOT_BYTES


@pytest.mark.parametrize("cut", [14, 60, 150])
def test_a_torn_slot_leaves_the_other(tmp_path: Path, cut: int) -> None:
    """Wherever a write was cut, the head before it is still read, and the damage is named."""
    path = tmp_path / "head"
    _written(path, range(4, 6))
    content = path.read_bytes()
    newer = _note(66_666_666).encode().ljust(SLOT_BYTES, b"\n")
    torn = newer[:cut] + content[cut:SLOT_BYTES]
    path.write_bytes(torn + content[SLOT_BYTES:])
    reading = read_head(path, TRUSTED)
    assert reading.newest is not None
    assert reading.newest.checkpoint.size == 5
    assert [wrong for wrong in reading.wrong if wrong.startswith("slot 1")]


def test_a_head_signed_by_another_key_does_not_count(tmp_path: Path) -> None:
    """A slot that a forger signed is reported and never the newest."""
    forger = Signer("oxios/test", bytes(32))
    head = HeadFile(tmp_path / "head")
    head.open()
    head.write(_note(5))
    head.write(forger.sign(Checkpoint("oxios/test", 99, bytes(32)).text()))
    head.close()
    reading = read_head(tmp_path / "head", TRUSTED)
    assert reading.newest is not None
    assert reading.newest.checkpoint.size == 5
    assert len(reading.wrong) == 1


def test_checkpoints_read_back_in_order(tmp_path: Path) -> None:
    """Every appended checkpoint is there, oldest first."""
    file = CheckpointFile(tmp_path / "checkpoints")
    for size in (1, 1000, 2000):
        file.append(_note(size))
    reading = read_checkpoints(tmp_path / "checkpoints", TRUSTED)
    assert [signed.checkpoint.size for signed in reading.good] == [1, 1000, 2000]
    assert not reading.wrong


def test_a_torn_last_checkpoint_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    """At whatever byte the last record was cut, repair keeps the whole ones, and the file goes on."""
    path = tmp_path / "checkpoints"
    file = CheckpointFile(path)
    file.append(_note(1))
    file.append(_note(2))
    two = path.read_bytes()
    file.append(_note(3))
    three = path.read_bytes()
    for end in range(len(two), len(three) + 1):
        path.write_bytes(three[:end])
        file.repair()
        assert path.read_bytes() == (three if end == len(three) else two)
    path.write_bytes(three[:-30])
    file.repair()
    file.append(_note(4))
    assert [signed.checkpoint.size for signed in read_checkpoints(path, TRUSTED).good] == [1, 2, 4]


def test_an_altered_checkpoint_is_named_by_its_number(tmp_path: Path) -> None:
    """One bent record is reported, the others still count."""
    path = tmp_path / "checkpoints"
    file = CheckpointFile(path)
    for size in (1, 2, 3):
        file.append(_note(size))
    path.write_text(path.read_text().replace("\n2\n", "\n7\n"))
    reading = read_checkpoints(path, TRUSTED)
    assert [signed.checkpoint.size for signed in reading.good] == [1, 3]
    assert len(reading.wrong) == 1
    assert reading.wrong[0].startswith("record 2")
