"""The signing key on disk: made once, private, rotated with a statement."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kernel.errors import Invalid, JournalDown
from kernel.journal import keys
from kernel.journal.note import Signer


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key_is_private_and_reads_back(tmp_path: Path) -> None:
    """Folder 0700, file 0600, and the loaded ring signs as the made one."""
    made = keys.create(tmp_path / "keys")
    assert (_mode(tmp_path / "keys"), _mode(tmp_path / "keys" / keys.PRIVATE)) == (0o700, 0o600)
    loaded = keys.load(tmp_path / "keys")
    assert loaded.signer.sign("x\n") == made.signer.sign("x\n")
    assert loaded.trusted == (made.signer.key,)
    assert made.origin != keys.create(tmp_path / "other").origin


@pytest.mark.parametrize(("name", "mode"), [("", 0o750), (keys.PRIVATE, 0o640), (keys.PRIVATE, 0o604)])
def test_an_open_key_is_refused_with_the_command_that_closes_it(tmp_path: Path, name: str, mode: int) -> None:
    """A key or folder that others can read stops the start; closing it lets it go on."""
    folder = tmp_path / "keys"
    keys.create(folder)
    good = _mode(folder / name)
    (folder / name).chmod(mode)
    with pytest.raises(JournalDown, match="open to other users") as refused:
        keys.load(folder)
    assert f"chmod {good:o}" in refused.value.remedy
    (folder / name).chmod(good)
    keys.load(folder)


@pytest.mark.parametrize("content", ["", "PRIVATE+KEY+x+00000000+AAAA", "garbage"])
def test_a_damaged_key_is_refused(tmp_path: Path, content: str) -> None:
    """A key file that holds no key says so, with its path."""
    keys.create(tmp_path / "keys")
    (tmp_path / "keys" / keys.PRIVATE).write_text(content)
    with pytest.raises(JournalDown, match=keys.PRIVATE):
        keys.load(tmp_path / "keys")


def test_rotation_keeps_every_public_key(tmp_path: Path) -> None:
    """After two rotations three public keys are trusted, oldest first, and the newest signs."""
    ring = keys.create(tmp_path / "keys")
    trusted = [ring.signer.key]
    for _ in range(2):
        following = ring.stage_next()
        ring = ring.promote(following)
        trusted.append(following.key)
    assert keys.load(tmp_path / "keys").signer.key == trusted[-1]
    assert list(keys.load(tmp_path / "keys").trusted) == keys.load_public(tmp_path / "keys" / keys.PUBLIC) == trusted
    assert keys.staged(tmp_path / "keys") is None
    assert _mode(tmp_path / "keys" / keys.PRIVATE) == 0o600


def test_a_rotation_cut_before_its_last_step_leaves_the_old_key_in_force(tmp_path: Path) -> None:
    """With the public file written and the private one not, the old key still loads, and is trusted."""
    ring = keys.create(tmp_path / "keys")
    following = ring.stage_next()
    (tmp_path / "keys" / keys.PUBLIC).write_text(f"{following.key.text}\n")
    loaded = keys.load(tmp_path / "keys")
    assert loaded.signer.key == ring.signer.key
    assert ring.signer.key in loaded.trusted


def test_only_a_trusted_key_names_its_successor(tmp_path: Path) -> None:
    """A rotation statement counts where a trusted key signed it, and only as a rotation."""
    ring = keys.create(tmp_path / "keys")
    following = ring.stage_next()
    statement = keys.rotation_statement(ring.signer, following.key)
    assert keys.successor(statement, ring.trusted) == following.key
    forger = Signer(ring.origin, bytes(32))
    with pytest.raises(Invalid, match="no trusted key"):
        keys.successor(keys.rotation_statement(forger, forger.key), ring.trusted)
    with pytest.raises(Invalid, match="no key rotation"):
        keys.successor(ring.signer.sign("something else\n"), ring.trusted)


@pytest.mark.parametrize("content", [None, "", "# only a comment\n", "not a key\n"])
def test_a_file_without_public_keys_is_refused(tmp_path: Path, content: str | None) -> None:
    """A missing, empty or wrong key file is an error, never an empty list of trusted keys."""
    if content is not None:
        (tmp_path / "keys.pub").write_text(content)
    with pytest.raises(Invalid):
        keys.load_public(tmp_path / "keys.pub")
