"""A journal that was tampered with is not written on; one that a crash left untidy is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kernel.errors import JournalDown
from kernel.journal.findings import Kind
from tests.journal_world import audit, database, fill, found, grown, tamper, without


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pristine")
    fill(home, 600)
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    """A closed journal that a test may spoil."""
    return Path(shutil.copytree(pristine, tmp_path / "home", copy_function=shutil.copy2))


def _spoil(home: Path, older: Path, how: str) -> None:
    head = home / "journal" / "head"
    match how:
        case "truncated":
            without(home, 2)
        case "rolled back":
            shutil.copy2(database(older), database(home))
        case "no head":
            head.unlink()
        case "bent head":
            head.write_bytes(b"x" * 8192)
        case "bent tree":
            tamper(home, "UPDATE tree SET peaks = zeroblob(length(peaks))")
        case "forged note":
            tamper(home, "UPDATE tree SET note = 'x'")
        case "no database":
            database(home).unlink()
        case _:
            shutil.rmtree(home / "keys")


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("truncated", "not what entry"),
        ("rolled back", "cut off"),
        ("no head", "head file .* is missing"),
        ("bent head", "head file .* was altered"),
        ("bent tree", "signs another tree"),
        ("forged note", "forged or damaged"),
        ("no database", "cut off"),
        ("no key", "signing key .* missing"),
    ],
)
def test_a_broken_journal_is_not_opened_for_writing(home: Path, pristine: Path, how: str, named: str) -> None:
    """A kernel does not go on writing over a journal that was tampered with; it says what is wrong."""
    grown(home)
    _spoil(home, pristine, how)
    with pytest.raises(JournalDown, match=named) as refused:
        grown(home)
    assert refused.value.remedy


def test_another_history_under_the_same_head_is_not_opened(home: Path, pristine: Path) -> None:
    """A longer database, signed by the real key, that does not continue what the head says, is refused."""
    other = Path(shutil.copytree(pristine, home.parent / "other"))
    grown(home)
    for _ in range(2):
        grown(other)
    shutil.copy2(database(other), database(home))
    with pytest.raises(JournalDown, match="not those that the head"):
        grown(home)


def test_a_torn_checkpoint_is_repaired_at_the_next_start(home: Path) -> None:
    """A record cut off by a crash is reported until the journal is opened again, and then gone."""
    with (home / "journal" / "checkpoints").open("a") as file:
        file.write("oxios/12")
    assert found(audit(home)) == {(Kind.CHECKPOINT_FORGED, None)}
    grown(home)
    assert audit(home).good
