"""The signing key in the home: made once, private to its owner, rotated with a statement.

Guarantees: the private key is never readable by another user (a wrong mode is refused, not
repaired in silence), and every public key that ever signed is kept, oldest first.
Does not protect against the owner of the home, who can read the key.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kernel.errors import Invalid, JournalDown
from kernel.journal.note import Signer, VerifierKey, open_note, signer, verifier_key

PRIVATE: Final = "journal.key"
PUBLIC: Final = "journal.pub"
NEXT: Final = "journal.key.next"
_STATEMENT: Final = "oxios key rotation"
_LINES: Final = 3


class KeyRing:
    """The current signer and every verifier of one journal."""

    def __init__(self, folder: Path, current: Signer, trusted: Sequence[VerifierKey]) -> None:
        self._folder = folder
        self.signer = current
        self.trusted = tuple(trusted)

    @property
    def origin(self) -> str:
        """The journal's own name: the first line of its checkpoints."""
        return self.signer.key.name

    def stage_next(self) -> Signer:
        """Make the key that will follow, durable but not yet in force."""
        made = Signer(self.origin, secrets.token_bytes(32))
        _write_private(self._folder / NEXT, made.text)
        return made

    def promote(self, following: Signer) -> KeyRing:
        """Put the staged key in force; the old public key stays trusted."""
        trusted = (*(key for key in self.trusted if key != following.key), following.key)
        _write(self._folder / PUBLIC, _listed(trusted), 0o644)
        (self._folder / NEXT).replace(self._folder / PRIVATE)
        _sync(self._folder)
        return KeyRing(self._folder, following, trusted)


def rotation_statement(current: Signer, following: VerifierKey) -> str:
    """What the old key signs over: a note that names its successor."""
    return current.sign(f"{_STATEMENT}\n{current.key.name}\n{following.text}\n")


def successor(statement: str, trusted: Sequence[VerifierKey]) -> VerifierKey:
    """The key that a rotation statement names.

    Raises: Invalid, where no trusted key signed it or it is no rotation of this journal.
    """
    text, by = open_note(statement, trusted)
    lines = text.splitlines()
    if len(lines) != _LINES or lines[0] != _STATEMENT or lines[1] != by.name:
        raise Invalid("this note is no key rotation", remedy="the journal was altered: see `oxios audit verify`")
    return verifier_key(lines[2])


def exists(folder: Path) -> bool:
    return (folder / PRIVATE).exists()


def create(folder: Path) -> KeyRing:
    """Make a key for a journal that has none. The name is random: it tells journals apart."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Signer(f"oxios/{secrets.token_hex(4)}", secrets.token_bytes(32))
    _write_private(folder / PRIVATE, made.text)
    _write(folder / PUBLIC, _listed([made.key]), 0o644)
    _sync(folder)
    return KeyRing(folder, made, [made.key])


def load(folder: Path) -> KeyRing:
    """Raises: JournalDown, where the key is missing, damaged, or open to other users."""
    path = folder / PRIVATE
    _require_private(folder, 0o700)
    _require_private(path, 0o600)
    try:
        current = signer(path.read_text())
        trusted = load_public(folder / PUBLIC) if (folder / PUBLIC).exists() else [current.key]
    except Invalid as error:
        raise JournalDown(f"{path}: {error.message}", remedy=error.remedy) from error
    ring = KeyRing(folder, current, trusted)
    if current.key not in trusted:
        # A rotation was cut between its two files: the private one was still the old one.
        ring = KeyRing(folder, current, [*trusted, current.key])
    return ring


def staged(folder: Path) -> Signer | None:
    """The key a rotation made before it was cut off, if any."""
    path = folder / NEXT
    return signer(path.read_text()) if path.exists() else None


def discard_staged(folder: Path) -> None:
    (folder / NEXT).unlink(missing_ok=True)


def load_public(path: Path) -> list[VerifierKey]:
    """Verifier keys, one a line; `#` begins a comment line.

    Raises: Invalid, where the file cannot be read or holds none.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(
            f"cannot read public keys from {path}: {error}", remedy="give a file like keys/journal.pub"
        ) from error
    keys = [verifier_key(line) for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise Invalid(f"{path} holds no public key", remedy="give a file like keys/journal.pub")
    return keys


def _listed(keys: Sequence[VerifierKey]) -> str:
    return "".join(f"{key.text}\n" for key in keys)


def _require_private(path: Path, mode: int) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise JournalDown(
            f"the signing key {path} cannot be read: {error.strerror}",
            remedy="restore the home's keys/ from a backup; without it this journal can only be read",
        ) from error
    if stat.S_IMODE(found.st_mode) & ~mode:
        raise JournalDown(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
            remedy=f"if no one else can have read it: chmod {mode:o} {path}; else also `oxios audit rotate-key`",
        )
    if found.st_uid != os.geteuid():
        raise JournalDown(f"{path} belongs to another user", remedy=f"chown it to the user that runs Oxios: {path}")


def _write_private(path: Path, text: str) -> None:
    _write(path, f"{text}\n", 0o600)


def _write(path: Path, text: str, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
