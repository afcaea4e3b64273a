"""What the journal promises, on every store."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from kernel.errors import Invalid, NotFound
from kernel.ids import KERNEL, Digest, user
from kernel.journal import keys
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry
from kernel.journal.export import export, prove, prove_consistency
from kernel.journal.log import Journal
from kernel.ports.store import Store
from scripts import verify_export
from tests.journal_world import audit, draft, opened, run_row, sqlite_store
from tests.journal_world import keys as public_keys

PROJECTORS = {"call.intent": run_row}


def _with(home: Path, store: Store, act: Callable[[Journal], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(home, store, PROJECTORS) as journal:
            await act(journal)

    anyio.run(main)


def _digest(payload: Mapping[str, object]) -> Digest:
    return Digest(sha256(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).hexdigest())


def test_the_first_entry_names_the_key(tmp_path: Path, store: Store) -> None:
    """A new journal begins with `key.created`, in the system stream, with its public key."""

    async def act(journal: Journal) -> None:
        first = (await journal.read())[0]
        assert (first.seq, first.principal, first.stream, first.kind) == (1, KERNEL, SYSTEM_STREAM, "key.created")
        assert first.payload == {"key": public_keys(tmp_path)[0].text}

    _with(tmp_path, store, act)


def test_numbers_follow_the_order_of_calls(tmp_path: Path, store: Store) -> None:
    """Entries are numbered as they were appended, densely, whoever awaits in whichever order."""

    async def act(journal: Journal) -> None:
        pending = [journal.append(draft(number)) for number in range(50)]
        last = await pending[-1]
        entries = [await each for each in reversed(pending)]
        assert [entry.seq for entry in entries] == list(range(51, 1, -1))
        assert last == entries[0]
        read = await journal.read(stream="r1")
        assert [entry.payload for entry in read] == [{"number": number} for number in range(50)]
        assert read == list(reversed(entries))
        assert all(one.time_us <= two.time_us for one, two in pairwise(read))

    _with(tmp_path, store, act)


def test_reading_narrows_and_pages(tmp_path: Path, store: Store) -> None:
    """Stream, kind, principal, start and bound narrow what `read` gives."""

    async def act(journal: Journal) -> None:
        for number in range(4):
            journal.append(draft(number, stream=f"r{number % 2}", kind=("a.b", "c.d")[number // 2]))
        journal.append(Draft(user("alice"), "r0", "e.f", {}))
        await journal.flush()
        assert [entry.seq for entry in await journal.read(stream="r0")] == [2, 4, 6]
        assert [entry.seq for entry in await journal.read(kind="c.d")] == [4, 5]
        assert [entry.seq for entry in await journal.read(principal=user("alice"))] == [6]
        assert [entry.seq for entry in await journal.read(after=2, limit=2)] == [3, 4]

    _with(tmp_path, store, act)


def test_projections_change_with_their_entries(tmp_path: Path, store: Store) -> None:
    """When an append returns, the rows it projects are there."""

    async def act(journal: Journal) -> None:
        await journal.append(draft(7))
        assert (await journal.rows("runs", {"id": "r1"}))[0]["turns"] == 7
        journal.append(draft(8))
        await journal.append(draft(9))
        rows = await journal.rows("runs", order="turns", descending=True)
        assert [row["turns"] for row in rows] == [9]
        with pytest.raises(Invalid, match="no projection"):
            await journal.rows("secrets")

    _with(tmp_path, store, act)


def test_subscribers_hear_every_entry_once_in_order(tmp_path: Path, store: Store) -> None:
    """What subscribers got, joined, is the journal from where they began; after ending they hear nothing."""
    heard: list[Entry] = []

    async def act(journal: Journal) -> None:
        end = journal.subscribe(heard.extend)
        for number in range(20):
            pending = journal.append(draft(number))
            if number % 7 == 0:
                await pending
        await journal.flush()
        assert heard == (await journal.read(after=1))
        end()
        await journal.append(draft())
        assert len(heard) == 20

    _with(tmp_path, store, act)


def test_blobs_are_found_by_digest(tmp_path: Path, store: Store) -> None:
    """A blob appended with an entry reads back; one never stored is not found; a digest must be one."""

    async def act(journal: Journal) -> None:
        await journal.append(draft(blobs=(b"one", b"two")))
        assert await journal.blob(Digest(sha256(b"two").hexdigest())) == b"two"
        with pytest.raises(NotFound):
            await journal.blob(Digest("00" * 32))
        with pytest.raises(Invalid, match="no digest"):
            await journal.blob(Digest("zz"))

    _with(tmp_path, store, act)


def test_a_reopened_journal_goes_on(tmp_path: Path, store: Store) -> None:
    """Numbers, tree and key continue over closing and opening, and all of it verifies."""

    async def act(journal: Journal) -> None:
        for number in range(30):
            journal.append(draft(number))

    for _ in range(3):
        _with(tmp_path, store, act)
    report = audit(tmp_path, store=store, projectors=PROJECTORS)
    assert report.findings == []
    assert report.size == 91


def test_an_erased_payload_is_gone_and_every_proof_still_verifies(tmp_path: Path, store: Store) -> None:
    """After erasing a payload and a blob their contents are nowhere, and audit, export and proofs are good."""
    payload = {"number": 3}

    async def act(journal: Journal) -> None:
        for number in range(5):
            journal.append(draft(number, blobs=(b"blob %d" % number,)))
        await journal.flush()
        entry = await journal.erase(_digest(payload), user("alice"), "asked to forget")
        assert (entry.kind, entry.principal) == ("blob.erased", "user:alice")
        await journal.erase(Digest(sha256(b"blob 2").hexdigest()), user("alice"), "asked to forget")
        assert [entry.payload for entry in await journal.read(stream="r1")][3] is None
        with pytest.raises(NotFound):
            await journal.blob(Digest(sha256(b"blob 2").hexdigest()))
        with pytest.raises(NotFound, match="nothing has"):
            await journal.erase(_digest(payload), user("alice"), "again")

    _with(tmp_path, store, act)
    report = audit(tmp_path, store=store)
    assert (report.findings, report.erased) == ([], 2)
    reader = store.reader()
    try:
        text = "\n".join(export(reader, public_keys(tmp_path), blobs=True))
        proof = prove(reader, 5)
    finally:
        reader.close()
    assert '\\"number\\":3' not in text
    assert _judge(tmp_path, text) == _judge(tmp_path, json.dumps(proof)) == 0


def test_erased_content_is_in_no_file_while_the_journal_is_open(tmp_path: Path) -> None:
    """On SQLite, once `erase` returned, neither database nor write-ahead log has the bytes."""

    def holding(content: bytes) -> list[Path]:
        return [path for path in tmp_path.rglob("*") if path.is_file() and content in path.read_bytes()]

    async def act(journal: Journal) -> None:
        secret = b"a secret of some length " * 400
        await journal.append(draft(blobs=(secret,)))
        assert holding(secret[:24])
        await journal.erase(Digest(sha256(secret).hexdigest()), KERNEL, "asked to forget")
        assert not holding(secret[:24])

    _with(tmp_path, sqlite_store(tmp_path), act)


def test_what_the_journal_itself_needs_is_not_erased(tmp_path: Path, store: Store) -> None:
    """Records of keys and of erasures are refused, with the reason."""

    async def act(journal: Journal) -> None:
        first = (await journal.read())[0]
        with pytest.raises(Invalid, match=r"key\.created"):
            await journal.erase(first.digest, KERNEL, "no")

    _with(tmp_path, store, act)


def test_rotations_go_to_their_end_one_after_the_other(tmp_path: Path, store: Store) -> None:
    """Two at once, each asked by a task that is cancelled meanwhile, leave two keys more, the last one in force."""

    async def act(journal: Journal) -> None:
        begun = anyio.Event()
        journal.subscribe(lambda _: begun.set())
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.rotate_key, user("alice"))
                await begun.wait()
                tasks.cancel_scope.cancel()
            begun = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(journal.rotate_key, user("alice"))

    _with(tmp_path, store, act)
    rotations = 4
    known = public_keys(tmp_path)
    assert len(known) == 1 + rotations
    assert keys.load(tmp_path / "keys").signer.key == known[-1]
    assert audit(tmp_path, store=store).findings == []


def test_a_rotated_key_signs_and_the_old_one_still_leads_to_it(tmp_path: Path, store: Store) -> None:
    """After a rotation a verifier who knows only the first key, or only the last, finds everything good."""
    first = ""

    async def act(journal: Journal) -> None:
        nonlocal first
        first = journal.checkpoint
        await journal.append(draft(1))
        entry = await journal.rotate_key(user("alice"))
        assert (entry.kind, entry.principal) == ("key.rotated", "user:alice")
        await journal.append(draft(2))

    _with(tmp_path, store, act)
    _with(tmp_path, store, act)
    known = public_keys(tmp_path)
    assert len(known) == 3
    assert audit(tmp_path, store=store, witnessed=(first,)).findings == []
    reader = store.reader()
    try:
        text = "\n".join(export(reader, known, blobs=False))
    finally:
        reader.close()
    for trusted in known:
        (tmp_path / "keys" / keys.PUBLIC).write_text(f"{trusted.text}\n")
        assert _judge(tmp_path, text) == 0
        assert audit(tmp_path, store=store).findings == []


def test_proofs_of_any_entry_and_size_verify(tmp_path: Path, store: Store) -> None:
    """In a journal beyond one stored chunk every proof asked for verifies; beyond its ends there is none."""

    async def act(journal: Journal) -> None:
        for number in range(699):
            journal.append(draft(number))

    _with(tmp_path, store, act)
    reader = store.reader()
    try:
        for seq in (1, 2, 255, 256, 257, 512, 513, 699, 700):
            assert _judge(tmp_path, json.dumps(prove(reader, seq))) == 0
        for old, new in ((1, 1), (1, 700), (255, 256), (256, 512), (300, 699), (512, 700), (700, 700)):
            assert prove_consistency(reader, old, new)["new"] == new
        for seq in (0, 701, -1):
            with pytest.raises(NotFound):
                prove(reader, seq)
        for old, new in ((0, 5), (6, 5), (1, 701)):
            with pytest.raises(Invalid):
                prove_consistency(reader, old, new)
    finally:
        reader.close()


def _judge(home: Path, text: str) -> int:
    """What the stranger's verifier says."""
    file = home / "export.jsonl"
    file.write_text(text)
    return verify_export.main([str(file), "--key", str(home / "keys" / keys.PUBLIC)])
