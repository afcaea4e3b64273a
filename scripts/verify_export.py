"""Verify an export of an Oxios journal, or an inclusion proof, with the public key alone.

    python verify_export.py EXPORT --key journal.pub

Stands alone: it imports nothing of Oxios, only the standard library and `cryptography`.
It checks that the checkpoint is signed by the given key (or by one that key signed over to), that
the entries are dense, that each payload has its digest, and that all of them hash to the signed
root. Exit status: 0 good, 1 broken, 2 could not run. The format: rfcs/0002-journal.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from base64 import b64decode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Key = tuple[str, bytes]
"""Name and the 32 bytes of an Ed25519 public key."""


class BrokenError(Exception):
    """The text does not prove what it claims."""


def read_key(text: str) -> Key:
    """A C2SP verifier key: NAME+ID+BASE64(0x01 and 32 bytes)."""
    name, key_id, encoded = text.strip().split("+", 2)
    raw = b64decode(encoded, validate=True)
    if raw[:1] != b"\x01" or len(raw) != 33 or key_id != identify((name, raw[1:])).hex():  # noqa: PLR2004 -- 1 + 32
        raise ValueError(f"{text!r} is no Ed25519 verifier key")
    return name, raw[1:]


def identify(key: Key) -> bytes:
    return sha256(key[0].encode() + b"\n\x01" + key[1]).digest()[:4]


def open_note(note: str, keys: Iterable[Key]) -> str:
    """The text of a signed note that one of `keys` signed."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        name, _, encoded = line.removeprefix("\u2014 ").partition(" ")
        raw = b64decode(encoded)
        for key in keys:
            if (key[0], identify(key)) == (name, raw[:4]):
                try:
                    Ed25519PublicKey.from_public_bytes(key[1]).verify(raw[4:], text.encode())
                except InvalidSignature:
                    raise BrokenError(f"the signature of {name} is false") from None
                return text
    raise BrokenError("the note is signed by none of the trusted keys")


def open_checkpoint(note: str, keys: Iterable[Key]) -> tuple[int, bytes]:
    """Size and root."""
    _origin, size, root = open_note(note, keys).splitlines()[:3]
    return int(size), b64decode(root)


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def leaf_of(entry: dict[str, Any]) -> bytes:
    """RFC 6962 leaf hash of the entry's header, in canonical JSON (texts and integers only)."""
    names = ("seq", "time_us", "principal", "stream", "kind", "digest", "blobs")
    header = {name: entry[name] for name in names if name in entry}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(b"\x00" + text.encode()).digest()


def check_payload(entry: dict[str, Any]) -> bool:
    """True where it is there and right, False where it was erased."""
    if entry["payload"] is None:
        return False
    if sha256(entry["payload"].encode()).hexdigest() != entry["digest"]:
        raise BrokenError(f"the payload of entry {entry['seq']} does not have its digest")
    return True


class Tree:
    """The roots of the perfect subtrees so far, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        rest = self.size
        while rest & 1:
            leaf = node(self.peaks.pop(), leaf)
            rest >>= 1
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return sha256(b"").digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node(peak, root)
        return root


def verify_export(header: dict[str, Any], lines: Iterable[str], keys: list[Key]) -> str:
    tree, missing, erased, blobs = Tree(), dict[str, int](), set[str](), 0
    for line in lines:
        entry = json.loads(line)  # Texts hold no raw line breaks, so a line is an object.
        if "blob" in entry:
            blobs += 1
            if sha256(b64decode(entry["content"])).hexdigest() != entry["blob"]:
                raise BrokenError(f"the blob {entry['blob']} does not have its digest")
            continue
        if entry["seq"] != tree.size + 1:
            raise BrokenError(f"entry {tree.size + 1} is missing: {entry['seq']} stands in its place")
        tree.add(leaf_of(entry))
        if not check_payload(entry):
            missing.setdefault(entry["digest"], entry["seq"])
        elif entry["kind"] == "blob.erased":
            erased.add(json.loads(entry["payload"])["digest"])
        elif entry["kind"] == "key.rotated":
            follow(json.loads(entry["payload"])["statement"], keys)
    size, root = open_checkpoint(header["checkpoint"], keys)
    if (size, root) != (tree.size, tree.root()) or header["entries"] != size:
        raise BrokenError(f"the {tree.size} entries are not those that checkpoint {size} signed")
    unexplained = [seq for digest, seq in missing.items() if digest not in erased]
    if unexplained:
        raise BrokenError(f"the payload of entry {unexplained[0]} is gone, and no entry records its erasure")
    return f"{size} entries, {len(missing)} erased payloads, {blobs} blobs, root {root.hex()}"


def follow(statement: str, keys: list[Key]) -> None:
    """Trust the key that a trusted one signed over to."""
    try:
        what, _name, successor = open_note(statement, keys).splitlines()
    except BrokenError:
        return  # Signed by a key we do not trust: nor do we trust what it names.
    if what == "oxios key rotation":
        keys.append(read_key(successor))


def verify_inclusion(proof: dict[str, Any], _lines: Iterable[str], keys: list[Key]) -> str:
    """RFC 9162, 2.1.3.2."""
    size, root = open_checkpoint(proof["checkpoint"], keys)
    fn, sn, result = proof["entry"]["seq"] - 1, size - 1, leaf_of(proof["entry"])
    for sibling in map(bytes.fromhex, proof["path"]):
        if sn == 0:
            raise BrokenError("the path is too long")
        if fn & 1 or fn == sn:
            result = node(sibling, result)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node(result, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or result != root or not 0 < proof["entry"]["seq"] <= size:
        raise BrokenError(f"the path does not lead to the root that checkpoint {size} signed")
    held = "with its payload" if check_payload(proof["entry"]) else "its payload erased"
    return f"entry {proof['entry']['seq']} is one of {size}, {held}"


VERIFIERS = {"oxios-journal/1": verify_export, "oxios-inclusion/1": verify_inclusion}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify an export or an inclusion proof of an Oxios journal.")
    parser.add_argument("file", type=Path, help="what `oxios audit export` or `oxios audit prove` printed")
    parser.add_argument("--key", type=Path, required=True, help="the public key: keys/journal.pub of the home")
    args = parser.parse_args(arguments)
    try:
        keys = [read_key(line) for line in args.key.read_text().splitlines() if line.strip() and line[0] != "#"]
        # A text may hold what `splitlines` takes for the end of one (U+2028, say): only this ends a line of JSON.
        lines = filter(None, args.file.read_text(encoding="utf-8").split("\n"))
        header = json.loads(next(lines, "{}"))
        verifier = VERIFIERS[header["format"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"could not verify: no export, no proof or no key: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    try:
        said = verifier(header, lines, keys)
    except (BrokenError, ValueError, KeyError, TypeError) as error:
        print(f"BROKEN: {error}")
        return 1
    print(f"good: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
