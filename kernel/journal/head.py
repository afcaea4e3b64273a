"""The log's head and its checkpoints, in files that the database cannot reach.

Guarantees: the head file names the newest committed size, so cutting rows off the database, or
putting an older database back, is seen. It has two slots written in turn: a torn write leaves the
other whole. It is not synced at each commit: after a power cut it may be behind the database,
never before it, which is harmless because every state of the database carries its own signature.
Does not protect against someone who puts back the database and these files together: keep a
checkpoint elsewhere (`oxios audit verify --checkpoint FILE`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kernel.errors import Invalid
from kernel.journal.note import Checkpoint, VerifierKey, open_checkpoint

SLOT_BYTES: Final = 4096
_SLOTS: Final = 2
_READS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Signed:
    """A note and the checkpoint it was found to hold."""

    note: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file of notes held: the good ones in order, and what was wrong with the others."""

    good: tuple[Signed, ...]
    wrong: tuple[str, ...]

    @property
    def newest(self) -> Signed | None:
        return max(self.good, key=lambda signed: signed.checkpoint.size, default=None)


class HeadFile:
    """Two slots of signed checkpoints. One thread writes; any process reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._turn = 0

    def exists(self) -> bool:
        return self._path.exists()

    def open(self) -> None:
        """Raises: OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, note: str) -> None:
        """Raises: OSError."""
        content = note.encode()
        assert len(content) < SLOT_BYTES, "a checkpoint is a few hundred bytes"
        # Padding keeps the file readable with `cat`, and overwrites the longer note before.
        os.pwrite(self._descriptor, content + b"\n" * (SLOT_BYTES - len(content)), self._turn * SLOT_BYTES)
        self._turn = (self._turn + 1) % _SLOTS

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_head(path: Path, trusted: Sequence[VerifierKey]) -> Reading:
    """Both slots. Reads again while a slot is bad: its writer may be in the middle of it.

    Raises: OSError, FileNotFoundError among them.
    """
    reading = Reading((), ("it was never read",))
    for _ in range(_READS_MAX):
        content = path.read_bytes()
        slots = [content[at : at + SLOT_BYTES] for at in range(0, _SLOTS * SLOT_BYTES, SLOT_BYTES)]
        reading = _opened([slot.decode(errors="replace").rstrip("\n") + "\n" for slot in slots], trusted, "slot")
        if not reading.wrong:
            break
    return reading


class CheckpointFile:
    """Signed checkpoints, appended and synced; nothing is ever removed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, note: str) -> None:
        """Raises: OSError."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, f"{note}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def repair(self) -> None:
        """Cut off a last record whose writing was interrupted. Raises: OSError."""
        if self._path.exists():
            # A note has one empty line inside and one after it.
            pieces = self._path.read_bytes().split(b"\n\n")
            whole = pieces[: (len(pieces) - 1) // 2 * 2]
            os.truncate(self._path, sum(len(piece) + 2 for piece in whole))


def read_checkpoints(path: Path, trusted: Sequence[VerifierKey]) -> Reading:
    """Raises: OSError, FileNotFoundError among them."""
    pieces = path.read_text(errors="replace").split("\n\n")
    if pieces[-1] == "":
        pieces.pop()
    notes = ["\n\n".join(pieces[at : at + 2]) + "\n" for at in range(0, len(pieces), 2)]
    return _opened(notes, trusted, "record")


def _opened(notes: Sequence[str], trusted: Sequence[VerifierKey], what: str) -> Reading:
    good: list[Signed] = []
    wrong: list[str] = []
    for number, note in enumerate(notes, start=1):
        try:
            good.append(Signed(note, open_checkpoint(note, trusted)))
        except Invalid as error:
            wrong.append(f"{what} {number}: {error.message}")
    return Reading(tuple(good), tuple(wrong))
