"""A journal as text that a stranger can verify: JSON lines, with the public keys and a checkpoint.

Guarantees: what a sound journal writes here verifies by itself, with `scripts/verify_export.py` and a public key;
payloads stand in it as their canonical text, so that no verifier has to encode JSON the same way.
Source: RFC-0002, "Export".
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Generator, Sequence
from typing import Final

from kernel.errors import Conflict
from kernel.journal import codec
from kernel.journal.merkle import leaf_hash
from kernel.journal.note import VerifierKey, checkpoint
from kernel.journal.proof import StoredTree
from kernel.jsontypes import JsonObject, JsonValue
from kernel.ports.store import EntryQuery, EntryRow, StoreReader, TreeRow

FORMAT: Final = "oxios-journal/1"
PROOF_FORMAT: Final = "oxios-inclusion/1"
CONSISTENCY_FORMAT: Final = "oxios-consistency/1"


def export(reader: StoreReader, keys: Sequence[VerifierKey], *, blobs: bool) -> Generator[str]:
    """The lines of an export, one state of the journal: a header, the entries, and the blobs if wanted."""
    reader.snapshot()
    try:
        tree = reader.tree()
        header: JsonObject = {
            "format": FORMAT,
            "entries": tree.size,
            "keys": [key.text for key in keys],
            "checkpoint": tree.note,
        }
        yield _line(header)
        for row in reader.scan():
            yield _line(record(row))
        for digest, content in reader.blobs() if blobs else ():
            yield _line({"blob": digest.hex(), "content": b64encode(content).decode()})
    finally:
        reader.release()


def record(row: EntryRow) -> dict[str, JsonValue]:
    """An entry as an export shows it."""
    seq, time_us, principal, stream, kind, digest, blobs, _, payload = row
    shown: dict[str, JsonValue] = {
        "seq": seq,
        "time_us": time_us,
        "principal": principal,
        "stream": stream,
        "kind": kind,
        "digest": digest.hex(),
        "payload": None if payload is None else payload.decode(),
    }
    if blobs is not None:
        shown["blobs"] = [name.hex() for name in codec.split(blobs)]
    return shown


def prove(reader: StoreReader, seq: int) -> JsonObject:
    """That entry `seq` is in the journal as it stands: entry, path and signed checkpoint.

    Raises: NotFound; Conflict, where the database is broken.
    """
    reader.snapshot()
    try:
        tree = reader.tree()
        stored = _signed(reader, tree)
        proof = stored.inclusion(seq)
        rows = reader.entries(EntryQuery(after=seq - 1, limit=1))
    finally:
        reader.release()
    if [row[0] for row in rows] != [seq] or leaf_hash(codec.header_bytes(rows[0][:7])) != proof.leaf:
        raise Conflict(f"entry {seq} was altered", remedy="run `oxios audit verify`")
    return {
        "format": PROOF_FORMAT,
        "entry": record(rows[0]),
        "header": codec.header_bytes(rows[0][:7]).decode(),
        "leaf": proof.leaf.hex(),
        "index": seq - 1,
        "size": proof.size,
        "path": [node.hex() for node in proof.path],
        "root": proof.root.hex(),
        "checkpoint": tree.note,
    }


def prove_consistency(reader: StoreReader, old: int, new: int) -> JsonObject:
    """That the first `old` entries are the beginning of the first `new`.

    Raises: Invalid, for sizes that are none; Conflict, where the database is broken.
    """
    reader.snapshot()
    try:
        tree = reader.tree()
        proof = _signed(reader, tree).consistency(old, new)
    finally:
        reader.release()
    return {
        "format": CONSISTENCY_FORMAT,
        "old": old,
        "new": new,
        "old_root": proof.old_root.hex(),
        "new_root": proof.new_root.hex(),
        "path": [node.hex() for node in proof.path],
        "size": tree.size,
        "checkpoint": tree.note,
    }


def _signed(reader: StoreReader, tree: TreeRow) -> StoredTree:
    """The stored tree, whose root is the signed one. Raises: Conflict, where it is not."""
    stored = StoredTree(reader, tree.size)
    if tree.size and checkpoint(tree.note.partition("\n\n")[0] + "\n").root != stored.root(tree.size):
        raise Conflict("the stored hashes do not lead to the signed root", remedy="run `oxios audit verify`")
    return stored


def _line(value: JsonObject) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
