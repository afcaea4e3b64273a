"""What every store promises: SQLite, PostgreSQL and the one in memory."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256

import pytest

from kernel.errors import Invalid, KernelBug
from kernel.journal.projection import Upsert
from kernel.ports.store import (
    Batch,
    EntryQuery,
    EntryRow,
    RowQuery,
    SaidQuery,
    Store,
    StoreReader,
    StoreWriter,
    TreeRow,
)
from kernel.terms import asked_terms, terms_of, whose


def _row(seq: int, stream: str = "r1", kind: str = "call.intent", payload: bytes | None = b"{}") -> EntryRow:
    content = payload or b"gone"
    return (
        seq,
        1_795_000_000_000_000 + seq,
        "agent:r1",
        stream,
        kind,
        sha256(content).digest(),
        None,
        bytes(32),
        payload,
    )


def _tree(size: int) -> TreeRow:
    return TreeRow(size, 1_795_000_000_000_000 + size, bytes(32), f"note {size}\n")


def _batch(*rows: EntryRow, **more: object) -> Batch:
    return Batch(tree=_tree(rows[-1][0] if rows else 0), entries=rows, **more)  # type: ignore[arg-type] -- fields by name


@contextmanager
def _open(store: Store) -> Generator[tuple[StoreWriter, StoreReader]]:
    store.prepare()
    writer, reader = store.writer(), store.reader()
    try:
        yield writer, reader
    finally:
        reader.close()
        writer.close()


def test_an_empty_store_has_an_empty_tree(store: Store) -> None:
    """A new store holds nothing, and says so in every question."""
    with _open(store) as (writer, reader):
        assert writer.tree() == reader.tree() == TreeRow()
        assert reader.entries(EntryQuery()) == []
        assert list(reader.scan()) == list(reader.blobs()) == reader.leaves(0, 9) == reader.chunks(0, 9) == []
        assert reader.damages() == []


def test_a_batch_is_there_when_commit_returns(store: Store) -> None:
    """Entries, tree, blobs, chunks and projections of a batch read back from another connection."""
    blob = b"content"
    with _open(store) as (writer, reader):
        writer.commit(
            _batch(
                _row(1),
                _row(2, payload=b'{"a":"\xe2\x82\xac"}'),
                blobs=[(sha256(blob).digest(), blob)],
                chunks=[(0, b"r" * 32)],
                changes=[Upsert("runs", {"id": "r1"}, {"status": "running", "started_us": 1_795_000_000_000_000})],
            )
        )
        assert reader.tree() == _tree(2)
        assert reader.entries(EntryQuery()) == [_row(1), _row(2, payload=b'{"a":"\xe2\x82\xac"}')]
        assert reader.leaves(1, 2) == [(2, bytes(32))]
        assert reader.chunks(0, 1) == [(0, b"r" * 32)]
        assert reader.blob(sha256(blob).digest()) == blob
        assert list(reader.blobs()) == [(sha256(blob).digest(), blob)]
        row = reader.rows(RowQuery("runs", {"id": "r1"}))[0]
        assert (row["status"], row["started_us"], row["turns"], row["goal"]) == (
            "running",
            1_795_000_000_000_000,
            0,
            None,
        )


def test_reopening_finds_what_was_committed(store: Store) -> None:
    """A store opened a second time continues; preparing it again changes nothing."""
    with _open(store) as (writer, _):
        writer.commit(_batch(_row(1)))
    with _open(store) as (writer, reader):
        assert writer.tree() == _tree(1)
        writer.commit(_batch(_row(2)))
        assert [row[0] for row in reader.scan()] == [1, 2]


def test_many_rows_go_in_one_batch(store: Store) -> None:
    """A batch far beyond one statement arrives whole and in order, and scanning pages through it."""
    rows = [_row(seq) for seq in range(1, 1301)]
    changes = [Upsert("runs", {"id": f"r{seq % 300}"}, {"turns": seq}) for seq in range(1, 1301)]
    with _open(store) as (writer, reader):
        writer.commit(_batch(*rows, changes=changes))
        assert list(reader.scan()) == rows
        assert list(reader.scan(after=1290)) == rows[1290:]
        turns = {row["id"]: row["turns"] for row in reader.rows(RowQuery("runs", {}))}
        assert turns == {f"r{n % 300}": n for n in range(1001, 1301)}


def test_entries_are_narrowed_by_each_field(store: Store) -> None:
    """Stream, kind, principal, start and number each narrow what is read."""
    rows = [_row(1, "r1", "a.b"), _row(2, "r2", "a.b"), _row(3, "r1", "c.d"), _row(4, "r1", "a.b")]
    with _open(store) as (writer, reader):
        writer.commit(_batch(*rows))

        def seqs(query: EntryQuery) -> list[int]:
            return [row[0] for row in reader.entries(query)]

        assert seqs(EntryQuery(stream="r1")) == [1, 3, 4]
        assert seqs(EntryQuery(kind="a.b")) == [1, 2, 4]
        assert seqs(EntryQuery(stream="r1", kind="a.b", after=1)) == [4]
        assert seqs(EntryQuery(principal="agent:r1", limit=2)) == [1, 2]
        assert seqs(EntryQuery(principal="agent:r2")) == []
        assert seqs(EntryQuery(stream="r1", descending=True, limit=2)) == [4, 3]
        assert seqs(EntryQuery(stream="r1", descending=True, before=4)) == [3, 1]
        assert seqs(EntryQuery(before=3)) == [1, 2]


def test_a_change_keeps_the_columns_it_does_not_name(store: Store) -> None:
    """A later upsert of a row changes only its own columns; later changes of one batch win."""
    with _open(store) as (writer, reader):
        writer.commit(_batch(_row(1), changes=[Upsert("runs", {"id": "a"}, {"status": "running", "goal": "g"})]))
        changes = [Upsert("runs", {"id": "a"}, {"status": s}) for s in ("paused", "finished")]
        writer.commit(_batch(_row(2), changes=changes))
        row = reader.rows(RowQuery("runs", {"status": "finished"}))[0]
        assert (row["id"], row["goal"], row["status"]) == ("a", "g", "finished")
        assert reader.rows(RowQuery("runs", {"status": "paused"})) == []


def test_rows_are_ordered_and_bounded(store: Store) -> None:
    """Rows come by the wanted column, either way, and not more than asked for; empty is a value."""
    changes = [Upsert("state", {"key": key}, {"value": value}) for key, value in (("a", "3"), ("b", None), ("c", "1"))]
    with _open(store) as (writer, reader):
        writer.commit(_batch(_row(1), changes=changes))
        assert [row["key"] for row in reader.rows(RowQuery("state", {}))] == ["a", "b", "c"]
        assert [row["key"] for row in reader.rows(RowQuery("state", {}, descending=True, limit=2))] == ["c", "b"]
        assert [row["key"] for row in reader.rows(RowQuery("state", {"value": None}))] == ["b"]
        assert [row["key"] for row in reader.rows(RowQuery("state", {"key": ("c", "a", "z")}))] == ["a", "c"]
        assert reader.rows(RowQuery("state", {"key": ()})) == []
        ordered = [row["key"] for row in reader.rows(RowQuery("state", {}, order="value"))]
        assert [key for key in ordered if key != "b"] == ["c", "a"]


def test_unknown_tables_and_columns_are_refused(store: Store) -> None:
    """A reader gets an error that lists what there is; a projector's mistake is a bug, and writes nothing."""
    with _open(store) as (writer, reader):
        with pytest.raises(Invalid, match="no projection"):
            reader.rows(RowQuery("entries", {}))
        with pytest.raises(Invalid, match="no column"):
            reader.rows(RowQuery("runs", {"id; DROP TABLE runs": "x"}))
        with pytest.raises(Invalid, match="no column"):
            reader.rows(RowQuery("runs", {}, order="seq"))
        for wrong in (
            Upsert("entries", {"seq": 1}, {}),
            Upsert("runs", {"id": "a"}, {"nonsense": 1}),
            Upsert("runs", {"status": "a"}, {"goal": "g"}),
            Upsert("runs", {"id": "a"}, {"id": "b"}),
        ):
            with pytest.raises(KernelBug):
                writer.commit(_batch(_row(1), changes=[wrong]))
        assert writer.tree() == TreeRow()
        assert list(reader.scan()) == []


def test_erasing_empties_payloads_and_removes_blobs(store: Store) -> None:
    """Content of a digest goes, wherever it stands; entries, digests and other content stay."""
    secret, kept = b'{"secret":1}', b'{"kept":1}'
    with _open(store) as (writer, reader):
        digest = sha256(secret).digest()
        rows = [_row(1, payload=secret), _row(2, payload=kept), _row(3, payload=secret)]
        writer.commit(_batch(*rows, blobs=[(digest, secret)]))
        assert [row[0] for row in reader.entries_of(digest)] == [1, 3]
        writer.commit(_batch(_row(4), erase=[digest]))
        assert [row[8] for row in reader.scan()] == [None, kept, None, b"{}"]
        assert [row[5] for row in reader.scan()][:3] == [digest, sha256(kept).digest(), digest]
        assert reader.blob(digest) is None
        assert reader.entries_of(digest) == []


def test_a_blob_stored_twice_is_kept_once(store: Store) -> None:
    """The same content in two batches is one blob."""
    blob = (sha256(b"x").digest(), b"x")
    with _open(store) as (writer, reader):
        writer.commit(_batch(_row(1), blobs=[blob, blob]))
        writer.commit(_batch(_row(2), blobs=[blob]))
        assert list(reader.blobs()) == [blob]


def test_a_snapshot_does_not_move(store: Store) -> None:
    """A reader that holds a snapshot sees one state while another writes, and the new one after."""
    with _open(store) as (writer, reader):
        writer.commit(_batch(_row(1)))
        reader.snapshot()
        assert reader.tree().size == 1
        writer.commit(_batch(_row(2)))
        assert reader.tree().size == 1
        assert [row[0] for row in reader.scan()] == [1]
        reader.release()
        assert [row[0] for row in reader.scan()] == [1, 2]


def test_probing_leaves_nothing_behind(store: Store) -> None:
    """A probe really writes, and what it wrote is gone."""
    with _open(store) as (writer, reader):
        writer.commit(_batch(_row(1)))
        writer.probe()
        assert reader.tree() == _tree(1)
        assert [row[0] for row in reader.scan()] == [1]


def _message(seq: int, session: str, text: str, owner: str = "user:a", role: str = "user") -> Upsert:
    terms = " ".join((whose(owner), *terms_of(text)))
    return Upsert("messages", {"seq": seq}, {"session": session, "turn": 1, "role": role, "terms": terms})


def _conversations() -> list[Upsert]:
    """Two sessions of one person, one of another, and one that is deleted."""
    owners = {"s1": "user:a", "s2": "user:a", "s3": "user:b", "s4": "user:a"}
    rows = [
        Upsert("sessions", {"id": name}, {"owner": owner, "status": "deleted" if name == "s4" else "active"})
        for name, owner in owners.items()
    ]
    said = [
        _message(1, "s1", "Viele Grüße aus Zürich"),
        _message(2, "s2", "zurich again"),
        _message(3, "s3", "Zürich", owner="user:b"),
        _message(4, "s4", "Zürich"),
        _message(5, "s1", "東京タワーへ行く"),
        _message(6, "s1", "an old title of zurich", role="name"),
        _message(7, "s1", "the title of zurich", role="name"),
    ]
    return [*rows, Upsert("sessions", {"id": "s1"}, {"named": 7}), *said]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("ZURICH", [(7, "s1"), (2, "s2"), (1, "s1")]),
        ("zür gru", [(1, "s1")]),
        ("zurichs", []),
        ("京タワ", [(5, "s1")]),
        ("行", [(5, "s1")]),
        ("京行", []),
        ("old title", []),
        ('" OR *', []),
    ],
)
def test_messages_are_found_by_the_beginnings_of_their_terms(
    store: Store, asked: str, found: list[tuple[int, str]]
) -> None:
    """In any case and accent, in scripts without spaces, the newest first; of the owner's live sessions alone."""
    with _open(store) as (writer, reader):
        writer.commit(_batch(changes=_conversations()))
        assert reader.said(SaidQuery("user:a", asked_terms(asked))) == found


def test_found_messages_go_on_below_a_number(store: Store) -> None:
    """A page is bounded, and the next begins below its last entry; an owner without any finds none."""
    with _open(store) as (writer, reader):
        writer.commit(_batch(changes=_conversations()))
        assert reader.said(SaidQuery("user:a", ("zurich",), limit=2)) == [(7, "s1"), (2, "s2")]
        assert reader.said(SaidQuery("user:a", ("zurich",), before=2)) == [(1, "s1")]
        assert reader.said(SaidQuery("user:c", ("zurich",))) == []


def test_a_message_whose_words_are_taken_out_is_found_no_more(store: Store) -> None:
    """The index follows the row: changed words are found, former ones are not."""
    with _open(store) as (writer, reader):
        writer.commit(_batch(changes=_conversations()))
        writer.commit(_batch(changes=[_message(2, "s2", "elsewhere"), Upsert("messages", {"seq": 1}, {"terms": ""})]))
        assert reader.said(SaidQuery("user:a", ("zurich",))) == [(7, "s1")]
        assert reader.said(SaidQuery("user:a", ("elsewhere",))) == [(2, "s2")]


def test_rows_go_on_after_one(store: Store) -> None:
    """Pages of an ordered table leave nothing out and repeat nothing, also where the order is a tie."""
    rows = [Upsert("sessions", {"id": f"s{n}"}, {"owner": "user:a", "updated_us": n // 2}) for n in range(7)]
    with _open(store) as (writer, reader):
        writer.commit(_batch(changes=[*rows, Upsert("sessions", {"id": "t"}, {"owner": "user:a"})]))
        for descending in (False, True):
            seen: list[str] = []
            after = (-1, "") if not descending else (99, "")
            while page := reader.rows(RowQuery("sessions", {"owner": "user:a"}, "updated_us", descending, 2, after)):
                seen += [str(row["id"]) for row in page]
                after = (page[-1]["updated_us"], page[-1]["id"])  # type: ignore[assignment] -- both are there
            assert seen == sorted((f"s{n}" for n in range(7)), reverse=descending)
