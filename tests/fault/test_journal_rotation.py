"""A key rotation that dies half-way is finished or undone at the next start."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from kernel.journal import keys
from kernel.journal.keys import KeyRing
from kernel.journal.note import Signer
from kernel.journal.writer import Ledger
from tests.journal_world import audit, draft, fill, opened
from tests.journal_world import keys as public_keys


class Died(Exception):
    """Stands for the process's end."""


def _rotate(home: Path) -> None:
    async def main() -> None:
        async with opened(home) as journal:
            await journal.rotate_key()

    anyio.run(main)


def _append(home: Path) -> str:
    """One entry more; returns the checkpoint after it."""

    async def main() -> str:
        async with opened(home) as journal:
            await journal.append(draft(1))
            return journal.checkpoint
        raise AssertionError("the block returns")

    return anyio.run(main)


def _die(*_: object) -> None:
    raise Died


def test_a_staged_key_that_was_never_recorded_is_discarded(tmp_path: Path) -> None:
    """A crash before the entry leaves the old key in force and no trace of the other."""
    fill(tmp_path, 3)
    before = public_keys(tmp_path)
    keys.load(tmp_path / "keys").stage_next()
    _append(tmp_path)
    assert public_keys(tmp_path) == before
    assert keys.staged(tmp_path / "keys") is None
    assert audit(tmp_path).findings == []


@pytest.mark.parametrize("point", ["before promoting", "between the files", "before signing anew"])
def test_a_recorded_rotation_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """A crash after the entry, at whichever step, ends in the new key at the next start, and all verifies."""
    fill(tmp_path, 3)
    old = public_keys(tmp_path)[0]
    real = KeyRing.promote

    def promote_and_die(ring: KeyRing, following: Signer) -> KeyRing:
        real(ring, following)
        raise Died

    with monkeypatch.context() as patch:
        if point == "before promoting":
            patch.setattr(Ledger, "promote", _die)
        elif point == "between the files":
            patch.setattr(Path, "replace", _replace_but_not_the_key)
        else:
            patch.setattr(KeyRing, "promote", promote_and_die)
        with pytest.raises(Died):
            _rotate(tmp_path)
    note = _append(tmp_path)
    known = public_keys(tmp_path)
    assert len(known) == 2
    assert known[0] == old
    assert keys.load(tmp_path / "keys").signer.key == known[1]
    assert keys.staged(tmp_path / "keys") is None
    assert Signer.sign(keys.load(tmp_path / "keys").signer, note.partition("\n\n")[0] + "\n") == note
    assert audit(tmp_path).findings == []


_REPLACE = Path.replace


def _replace_but_not_the_key(path: Path, target: Path) -> Path:
    if path.name == keys.NEXT:
        raise Died
    return _REPLACE(path, target)
