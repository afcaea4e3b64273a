"""Signed notes and checkpoints, as text that other transparency tools can read.

Guarantees: what `sign` writes, any C2SP signed-note reader verifies; `open_note` accepts a text
only where a trusted key signed exactly these bytes.
Does not protect against a stolen signing key: whoever holds it can sign another history.
Source: c2sp.org/signed-note, c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kernel.errors import Invalid
from kernel.journal.merkle import HASH_BYTES

_ED25519: Final = b"\x01"
_DASH: Final = "\u2014 "
_KEY_ID_BYTES: Final = 4
_SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key by name. `text` is its C2SP form, `name+id+key`."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(_ED25519 + self.public).decode()}"

    def verifies(self, text: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            return False
        return True


def verifier_key(text: str) -> VerifierKey:
    """Raises: Invalid, where `text` is no Ed25519 verifier key, or its id is another key's."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    key = VerifierKey(name, _typed(encoded))
    if not name or key.id.hex() != key_id:
        raise Invalid(f"{text!r} is not a verifier key", remedy="expected NAME+ID+KEY, as in keys/journal.pub")
    return key


class Signer:
    """A private key by name; `text` is its C2SP form and must stay secret."""

    __slots__ = ("_id", "_private", "_seed", "key")

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = VerifierKey(name, self._private.public_key().public_bytes_raw())
        self._id = self.key.id

    @property
    def text(self) -> str:
        return f"PRIVATE+KEY+{self.key.name}+{self._id.hex()}+{b64encode(_ED25519 + self._seed).decode()}"

    def sign(self, text: str) -> str:
        """`text` (ending in a newline) as a signed note."""
        assert text.endswith("\n"), "a note's text ends in a newline"
        signature = b64encode(self._id + self._private.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{self.key.name} {signature}\n"


def signer(text: str) -> Signer:
    """Raises: Invalid, where `text` is no private key in C2SP form."""
    head, _, rest = text.strip().partition("PRIVATE+KEY+")
    name, _, rest = rest.partition("+")
    key_id, _, encoded = rest.partition("+")
    if head or not name:
        raise Invalid("the signing key file does not hold a signing key", remedy="restore it from a backup")
    made = Signer(name, _typed(encoded))
    if made.key.id.hex() != key_id:
        raise Invalid("the signing key file is damaged", remedy="restore it from a backup")
    return made


def open_note(note: str, trusted: Iterable[VerifierKey]) -> tuple[str, VerifierKey]:
    """The text of a note, and the trusted key that signed it.

    Raises: Invalid, where the form is wrong, no trusted key signed it, or one's signature is false.
    """
    text, gap, lines = note.rpartition("\n\n")
    if not gap or not lines.endswith("\n"):
        raise Invalid("this is not a signed note", remedy="it may be cut off: restore the whole text")
    text += "\n"
    by_id = {(key.name, key.id): key for key in trusted}
    for line in lines.splitlines():
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH):
            raise Invalid("this is not a signed note", remedy="signature lines begin with an em dash")
        raw = _base64(encoded)
        key = by_id.get((name, raw[:_KEY_ID_BYTES]))
        if key is None:
            continue
        if not key.verifies(text.encode(), raw[_KEY_ID_BYTES:]):
            raise Invalid(f"the signature of {name} is false", remedy="the text was changed, or signed by a forger")
        return text, key
    raise Invalid("no trusted key signed this note", remedy="give the right public key with --key FILE")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its name, how many entries, and their root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def checkpoint(text: str) -> Checkpoint:
    """Raises: Invalid, where a note's text is no checkpoint."""
    lines = text.split("\n")
    if len(lines) < 4 or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:  # noqa: PLR2004 -- three lines and the end
        raise Invalid("this note is not a checkpoint", remedy="expected origin, size and root, a line each")
    root = _base64(lines[2])
    if len(root) != HASH_BYTES or not lines[0]:
        raise Invalid("this checkpoint's root is no SHA-256 hash", remedy="the text is damaged")
    return Checkpoint(lines[0], int(lines[1]), root)


def open_checkpoint(note: str, trusted: Iterable[VerifierKey]) -> Checkpoint:
    """Raises: Invalid, as `open_note`, or where the text is no checkpoint."""
    return checkpoint(open_note(note, trusted)[0])


def _typed(encoded: str) -> bytes:
    raw = _base64(encoded)
    if len(raw) != 1 + _SEED_BYTES or raw[:1] != _ED25519:
        raise Invalid("this is not an Ed25519 key", remedy="only Ed25519 keys sign journals")
    return raw[1:]


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"{text[:80]!r} is not base64", remedy="the text is damaged") from error
