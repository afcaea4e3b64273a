"""Each way to tamper with a journal is found, and named for what it is."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import anyio
import pytest

from kernel.errors import Conflict
from kernel.journal import codec
from kernel.journal.export import prove
from kernel.journal.findings import Kind
from kernel.journal.head import SLOT_BYTES
from kernel.journal.merkle import CHUNK, leaf_hash
from kernel.journal.note import Checkpoint, Signer
from kernel.ports.store import StoreAbsent
from tests.journal_world import (
    audit,
    database,
    draft,
    fill,
    found,
    grown,
    keys,
    opened,
    run_row,
    sqlite_store,
    tamper,
    without,
)

ENTRIES = 600


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pristine")
    fill(home, ENTRIES, blobs=True)
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    """A closed journal of 600 entries that a test may spoil."""
    return Path(shutil.copytree(pristine, tmp_path / "home", copy_function=shutil.copy2))


def _hex(content: bytes) -> str:
    return f"x'{content.hex()}'"


def _rehash(home: Path, seq: int, stored_at: int | None = None) -> None:
    """Give the row at `stored_at` the leaf hash that belongs to its altered columns."""
    reader = sqlite_store(home).reader()
    rows = {row[0]: row for row in reader.scan()}
    reader.close()
    leaf = leaf_hash(codec.header_bytes(rows[seq][:7]))
    tamper(home, f"UPDATE entries SET leaf = {_hex(leaf)} WHERE seq = {stored_at or seq}")


def _copied(home: Path, seq: int, to: int) -> None:
    columns = "time_us, principal, stream, kind, digest, blobs, leaf, payload"
    tamper(home, f"INSERT INTO entries SELECT {to}, {columns} FROM entries WHERE seq = {seq}")


def test_an_untouched_journal_is_good(home: Path) -> None:
    """Nothing is found where nothing was done, and the report counts what was checked."""
    report = audit(home)
    assert report.good
    assert (report.size, report.blobs, report.checkpoints) == (ENTRIES, ENTRIES - 1, 2)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("time_us", "time_us + 1"),
        ("principal", "'user:mallory'"),
        ("stream", "'r2'"),
        ("kind", "'call.outcome'"),
        ("digest", _hex(bytes(32))),
        ("blobs", "NULL"),
        ("leaf", _hex(bytes(32))),
        ("leaf", "'text'"),
        ("principal", "CAST(x'ff00' AS TEXT)"),
        ("digest", "'text'"),
    ],
)
def test_a_changed_column_is_named_by_entry(home: Path, column: str, value: str) -> None:
    """Whichever column of an entry is changed, that entry is named as altered."""
    tamper(home, f"UPDATE entries SET {column} = {value} WHERE seq = 300")
    assert (Kind.ALTERED, 300) in found(audit(home))
    assert {seq for _, seq in found(audit(home)) if seq is not None} <= {300, 1}


def test_every_single_flipped_bit_of_a_payload_is_found(home: Path) -> None:
    """Each bit of one payload, flipped alone, is found and named."""
    reader = sqlite_store(home).reader()
    payload = next(row[8] for row in reader.scan(after=299))
    reader.close()
    assert payload is not None
    for bit in range(0, len(payload) * 8, 7):
        bent = bytearray(payload)
        bent[bit // 8] ^= 1 << bit % 8
        tamper(home, f"UPDATE entries SET payload = {_hex(bytes(bent))} WHERE seq = 300")
        assert found(audit(home)) == {(Kind.PAYLOAD_ALTERED, 300)}


def test_a_flipped_bit_anywhere_in_the_file_is_found(home: Path) -> None:
    """A bit flipped in the database file itself, wherever there is data, is never taken for good."""
    path = database(home)
    content = path.read_bytes()
    used = [at for at in range(4096, len(content)) if content[at]]
    for at in used[:: len(used) // 60]:
        bent = bytearray(content)
        bent[at] ^= 0x10
        path.write_bytes(bytes(bent))
        report = audit(home, projectors={"call.intent": run_row})
        assert not report.good, f"byte {at}"


def test_a_removed_payload_without_a_record_is_found(home: Path) -> None:
    """A payload or blob that vanished without a `blob.erased` entry is named."""
    tamper(home, "UPDATE entries SET payload = NULL WHERE seq = 7")
    tamper(home, f"DELETE FROM blobs WHERE digest = {_hex(sha256(b'blob 9').digest())}")
    assert found(audit(home)) == {(Kind.PAYLOAD_MISSING, 7), (Kind.BLOB_MISSING, 9)}


def test_an_altered_or_added_blob_is_found(home: Path) -> None:
    """A blob whose content changed, and one that no entry names, are reported."""
    tamper(
        home,
        f"UPDATE blobs SET content = x'00' WHERE digest = {_hex(sha256(b'blob 9').digest())}",
        f"INSERT INTO blobs (digest, content) VALUES ({_hex(sha256(b'new').digest())}, {_hex(b'new')})",
    )
    assert found(audit(home)) == {(Kind.BLOB_ALTERED, 9), (Kind.INSERTED, None)}


@pytest.mark.parametrize("seq", [1, 256, 300])
def test_a_deleted_entry_is_named(home: Path, seq: int) -> None:
    """An entry deleted from the middle is named by its number."""
    tamper(home, f"DELETE FROM entries WHERE seq = {seq}")
    assert (Kind.DELETED, seq) in found(audit(home))


def test_a_deleted_entry_is_named_when_the_gap_was_closed(home: Path) -> None:
    """Renumbering the entries after a deleted one does not hide it."""
    tamper(home, "DELETE FROM entries WHERE seq = 300")
    for start in range(301, ENTRIES + 1):
        tamper(home, f"UPDATE entries SET seq = {start - 1} WHERE seq = {start}")
    kinds = found(audit(home))
    assert (Kind.DELETED, 300) in kinds
    assert (Kind.TRUNCATED, ENTRIES) in kinds


def test_an_inserted_entry_is_named(home: Path) -> None:
    """An entry put in the middle, the later ones renumbered, its own hash right, is named."""
    for start in range(ENTRIES, 299, -1):
        tamper(home, f"UPDATE entries SET seq = {start + 1} WHERE seq = {start}")
    _copied(home, 301, 300)
    _rehash(home, 300)
    assert (Kind.INSERTED, 300) in found(audit(home))


def test_appended_rows_are_named(home: Path) -> None:
    """Rows added after the end, hashed correctly, are not signed and are named so."""
    _copied(home, ENTRIES, ENTRIES + 1)
    _rehash(home, ENTRIES + 1)
    assert found(audit(home)) == {(Kind.INSERTED, ENTRIES + 1)}
    _copied(home, 1, 0)
    assert (Kind.INSERTED, 0) in found(audit(home))


@pytest.mark.parametrize(("one", "other"), [(300, 301), (20, 500)])
@pytest.mark.parametrize("with_hashes", [True, False])
def test_entries_that_changed_places_are_named(home: Path, one: int, other: int, with_hashes: bool) -> None:
    """Two entries swapped, neighbours or far apart, their hashes moved along or not, are named as reordered."""
    swap = [f"UPDATE entries SET seq = {a} WHERE seq = {b}" for a, b in ((9999, one), (one, other), (other, 9999))]
    tamper(home, *swap)
    if not with_hashes:
        tamper(
            home,
            "CREATE TEMP TABLE t AS SELECT seq, leaf FROM entries",
            f"UPDATE entries SET leaf = (SELECT leaf FROM t WHERE t.seq = {other}) WHERE seq = {one}",
            f"UPDATE entries SET leaf = (SELECT leaf FROM t WHERE t.seq = {one}) WHERE seq = {other}",
        )
    kinds = found(audit(home))
    assert (Kind.REORDERED, one) in kinds
    assert {kind for kind, _ in kinds} == {Kind.REORDERED}


def test_a_replaced_entry_is_found_when_every_hash_was_replaced_too(home: Path) -> None:
    """An entry rewritten with a fitting hash is caught by the signed root, and narrowed down to its chunk."""
    tamper(home, "UPDATE entries SET principal = 'user:mallory' WHERE seq = 300")
    _rehash(home, 300)
    report = audit(home)
    assert found(report) == {(Kind.REWRITTEN, 257)}
    assert "257 to 512" in report.findings[0].message


def test_an_altered_tree_is_found(home: Path) -> None:
    """Stored chunk roots and peaks that do not belong to the entries are named, those over no entry included."""
    for number in (-1, ENTRIES // CHUNK, 99):
        tamper(home, f"INSERT INTO chunks VALUES ({number}, zeroblob(32))")
        assert found(audit(home)) == {(Kind.TREE_ALTERED, None)}
        tamper(home, f"DELETE FROM chunks WHERE number = {number}")
    tamper(home, f"UPDATE chunks SET root = {_hex(bytes(32))} WHERE number = 1")
    assert found(audit(home)) == {(Kind.TREE_ALTERED, 257)}
    tamper(home, "UPDATE tree SET peaks = zeroblob(length(peaks))")
    assert (Kind.CHECKPOINT_FORGED, None) in found(audit(home))


def test_cut_off_entries_are_named(home: Path) -> None:
    """Deleting the newest rows is seen against the database's own signed tree."""
    without(home, 5)
    assert (Kind.TRUNCATED, ENTRIES - 4) in found(audit(home))


def test_cutting_off_entries_and_tree_is_seen_from_outside(home: Path, pristine: Path) -> None:
    """Where the tree row is cut to fit, its signature no longer does, and the head outside knows better."""
    without(home, 5)
    tamper(home, f"UPDATE tree SET size = {ENTRIES - 5}")
    kinds = {kind for kind, _ in found(audit(home))}
    assert kinds >= {Kind.CHECKPOINT_FORGED, Kind.ROLLED_BACK}


def test_an_older_database_is_known_as_such(home: Path, pristine: Path) -> None:
    """A database put back as it was, valid in itself, is behind the head and named as rolled back."""
    grown(home)
    assert audit(home).good
    shutil.copy2(database(pristine), database(home))
    assert found(audit(home)) == {(Kind.ROLLED_BACK, ENTRIES + 1)}


def test_rolling_back_database_and_head_is_seen_by_the_checkpoints(home: Path, pristine: Path) -> None:
    """With the head put back too, the file of checkpoints still says that there was more."""
    grown(home)
    shutil.copy2(database(pristine), database(home))
    shutil.copy2(pristine / "journal" / "head", home / "journal" / "head")
    assert found(audit(home)) == {(Kind.ROLLED_BACK, ENTRIES + 1)}


def test_rolling_back_everything_is_seen_by_a_checkpoint_kept_elsewhere(home: Path, pristine: Path) -> None:
    """The whole folder put back is good by itself, and broken beside a checkpoint that somebody kept."""
    grown(home)
    reader = sqlite_store(home).reader()
    kept = reader.tree().note
    reader.close()
    shutil.rmtree(home / "journal")
    shutil.copytree(pristine / "journal", home / "journal")
    assert audit(home).good
    assert found(audit(home, witnessed=(kept,))) == {(Kind.ROLLED_BACK, ENTRIES + 1)}


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_database_that_is_gone_is_missed(home: Path, how: str) -> None:
    """Where head and checkpoints tell of entries, no journal at all is one that was rolled back, to nothing."""
    if how == "removed":
        database(home).unlink()
    else:
        database(home).write_bytes(b"")
    assert found(audit(home)) == {(Kind.ROLLED_BACK, 1)}
    for name in ("head", "checkpoints"):
        (home / "journal" / name).unlink()
    with pytest.raises(StoreAbsent, match="no journal"):
        audit(home)


@pytest.mark.parametrize("flipped", [b"N\xd5LL", b"seq INTEGEB", b"prinbipal", b"bntries"])
def test_an_altered_declaration_of_a_table_is_damage(home: Path, flipped: bytes) -> None:
    """A bit of the tables' own text, be it no text then, another name or no SQL, ends in a finding."""
    was = {b"N\xd5LL": b"NULL", b"seq INTEGEB": b"seq INTEGER", b"prinbipal": b"principal", b"bntries": b"entries"}
    content = database(home).read_bytes()
    at = content.index(b"CREATE TABLE entries")
    end = at + 400
    database(home).write_bytes(content[:at] + content[at:end].replace(was[flipped], flipped, 1) + content[end:])
    assert not audit(home).good


def test_an_emptied_file_of_checkpoints_is_missed(home: Path) -> None:
    """A journal has one from its first start on; the next start writes where it stands."""
    (home / "journal" / "checkpoints").write_bytes(b"")
    assert found(audit(home)) == {(Kind.CHECKPOINTS_MISSING, None)}
    grown(home)
    assert audit(home).good


def test_another_history_is_found_by_a_checkpoint_kept_elsewhere(home: Path, pristine: Path) -> None:
    """A history that went on differently from the same start, signed by the real key, contradicts the kept one."""
    grown(home)
    reader = sqlite_store(home).reader()
    kept = reader.tree().note
    reader.close()
    shutil.rmtree(home / "journal")
    shutil.copytree(pristine / "journal", home / "journal")
    for _ in range(2):
        grown(home)
    assert audit(home).good
    assert Kind.REWRITTEN in {kind for kind, _ in found(audit(home, witnessed=(kept,)))}


def _forged(home: Path, size: int) -> str:
    forger = Signer(keys(home)[0].name, bytes(32))
    return forger.sign(Checkpoint(forger.key.name, size, bytes(32)).text())


def test_forged_checkpoints_are_named_where_they_stand(home: Path) -> None:
    """A checkpoint signed by another key is named: in the database, in the head, among the checkpoints."""
    forged = _forged(home, ENTRIES)
    with (home / "journal" / "checkpoints").open("a") as file:
        file.write(f"{forged}\n")
    report = audit(home)
    assert found(report) == {(Kind.CHECKPOINT_FORGED, None)}
    assert "record 3" in report.findings[0].message
    head = home / "journal" / "head"
    head.write_bytes(forged.encode().ljust(SLOT_BYTES, b"\n") + head.read_bytes()[SLOT_BYTES:])
    assert (Kind.HEAD_ALTERED, None) in found(audit(home))
    tamper(home, f"UPDATE tree SET note = CAST({_hex(forged.encode())} AS TEXT)")
    assert [finding.kind for finding in audit(home).findings].count(Kind.CHECKPOINT_FORGED) == 2


@pytest.mark.parametrize(("name", "kind"), [("head", Kind.HEAD_MISSING), ("checkpoints", Kind.CHECKPOINTS_MISSING)])
def test_missing_files_are_named(home: Path, name: str, kind: Kind) -> None:
    """Without its head or its checkpoints a journal is not good."""
    (home / "journal" / name).unlink()
    assert found(audit(home)) == {(kind, None)}


def test_a_damaged_file_is_broken_and_not_a_crash(home: Path) -> None:
    """A database file overwritten in part or whole ends in a finding."""
    path = database(home)
    content = path.read_bytes()
    path.write_bytes(content[:20_480] + bytes(4096) + content[24_576:])
    assert Kind.DAMAGED in {kind for kind, _ in found(audit(home))}
    path.write_bytes(b"no database at all" * 1000)
    assert found(audit(home)) == {(Kind.DAMAGED, None)}


def test_projections_are_compared_with_the_entries(tmp_path: Path) -> None:
    """A row changed, added or removed in a derived table is named, though no entry was touched."""
    projectors = {"call.intent": run_row}

    async def main() -> None:
        async with opened(tmp_path, projectors=projectors) as journal:
            for number in range(6):
                journal.append(draft(number, stream=f"r{number % 3}"))

    anyio.run(main)
    assert audit(tmp_path, projectors=projectors).good
    tamper(tmp_path, "UPDATE runs SET turns = 99 WHERE id = 'r1'", "DELETE FROM runs WHERE id = 'r2'",
           "INSERT INTO capabilities (id, holder) VALUES ('c1', 'agent:r1')")  # fmt: skip
    messages = [finding.message for finding in audit(tmp_path, projectors=projectors).findings]
    assert len(messages) == 3
    assert any("'r1'" in text and "turns" in text for text in messages)
    assert any("lost its row 'r2'" in text for text in messages)
    assert any("'c1' that no entry made" in text for text in messages)


def test_a_report_stays_bounded(home: Path) -> None:
    """A journal broken everywhere is reported by its first findings and a count of the rest."""
    tamper(home, "UPDATE entries SET payload = x'00'")
    report = audit(home)
    assert len(report.findings) == 100
    assert report.more >= ENTRIES - 100


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET root = zeroblob(32) WHERE number = 1",
        "UPDATE entries SET principal = 'user:mallory' WHERE seq = 300",
        "DELETE FROM entries WHERE seq = 590",
        "DELETE FROM chunks WHERE number = 1",
    ],
)
def test_no_proof_is_made_from_a_broken_journal(home: Path, statement: str) -> None:
    """A proof that could not verify is an error, not a proof."""
    tamper(home, statement)
    reader = sqlite_store(home).reader()
    try:
        with pytest.raises(Conflict):
            prove(reader, 300)
    finally:
        reader.close()


def test_a_payload_reads_back_as_it_was_written(home: Path) -> None:
    """What the tests above tamper with is what callers wrote."""
    reader = sqlite_store(home).reader()
    row = next(reader.scan(after=299))
    reader.close()
    assert row[8] is not None
    assert json.loads(row[8]) == {"number": 300}
