"""One place for a file below a mount: read it, and write it so that it is whole or untouched.

Guarantees: every open goes beneath the mount's directory handle and follows no link; a write is
seen whole or not at all, and only where the place still held what the writer had seen; a crash
leaves at most a temporary file, which the next try of the same write takes over.

Does not protect against another program that changes the file between the last look and the
rename (some microseconds), and does not keep extended attributes or hard links of a replaced
file. The file's bytes are synced before the rename; the rename itself becomes durable with the
file system's next journal commit (ext4 and XFS: the sync of the call's own outcome entry). A power
cut on a file system without such a journal may lose a finished write; the entry then names the
digest that is missing.

Source: RFC-0004.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from kernel.errors import Conflict, Invalid, LimitExceeded, NotFound, OxiosError
from kernel.gate.paths import open_beneath
from kernel.ids import Digest
from kernel.limits import FILE_BYTES_MAX
from kernel.syscalls.target import PathTarget


def digest_of(content: bytes | None) -> Digest | None:
    """The SHA-256 of a file's bytes; None for no file."""
    return None if content is None else Digest(hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Held:
    """What a place holds: a regular file's bytes and permission bits."""

    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Place:
    """A regular file's place, there or not. `inner` is relative to `mount`, without `..` or links."""

    mount: str
    inner: str

    def look(self) -> Held | None:
        """What is there now; None where nothing is.

        Raises: Invalid (a directory is there), Conflict (a link or device is), LimitExceeded (over
        FILE_BYTES_MAX).
        """
        try:
            handle = open_beneath(self.mount, self.inner, os.O_RDONLY)
        except NotFound:
            return None
        try:
            return _held(handle, self.inner)
        finally:
            os.close(handle)

    def hold(self) -> Held:
        """As `look`. Raises: NotFound, where nothing is there."""
        held = self.look()
        if held is None:
            raise NotFound(f"{self.inner} does not exist", remedy="look with ls or find")
        return held

    def missing_parents(self) -> tuple[str, ...]:
        """The directories that a write would have to make, outermost first.

        Raises: Conflict, where something else stands in a directory's place.
        """
        parts = self.inner.split("/")[:-1]
        missing: list[str] = []
        for count in range(len(parts), 0, -1):
            folder = "/".join(parts[:count])
            try:
                os.close(open_beneath(self.mount, folder, os.O_RDONLY | os.O_DIRECTORY))
            except NotFound:
                missing.append(folder)
            else:
                break
        return tuple(reversed(missing))

    def put(self, content: bytes, before: Digest | None, mode: int | None) -> None:
        """Make the place hold `content`, where it still holds `before`. Blocks on the disk.

        Raises: Conflict (it holds something else now), OSError (disk full, read-only …).
        """
        made = self._make_parents()
        try:
            with _folder(self.mount, self.inner) as folder:
                self._replace(folder, content, before, mode)
        except BaseException:
            self.remove_empty(made)
            raise

    def drop(self, before: Digest) -> None:
        """Remove the file, where it still holds `before`.

        Raises: Conflict.
        """
        with _folder(self.mount, self.inner) as folder:
            self._expect(before)
            os.unlink(self._name, dir_fd=folder)

    def remove_empty(self, folders: tuple[str, ...]) -> None:
        """Remove those of `folders` (outermost first) that are empty, innermost first."""
        for inner in reversed(folders):
            with contextlib.suppress(OSError, OxiosError), _folder(self.mount, inner) as parent:
                os.rmdir(inner.rpartition("/")[2], dir_fd=parent)

    @property
    def _name(self) -> str:
        return self.inner.rpartition("/")[2]

    def _make_parents(self) -> tuple[str, ...]:
        made: list[str] = []
        for inner in self.missing_parents():
            with _folder(self.mount, inner) as parent, contextlib.suppress(FileExistsError):
                os.mkdir(inner.rpartition("/")[2], 0o755, dir_fd=parent)
                made.append(inner)
        return tuple(made)

    def _expect(self, before: Digest | None) -> Held | None:
        held = self.look()
        if digest_of(held.content if held else None) != before:
            raise Conflict(f"{self.inner} changed in the meantime", remedy="read it again and repeat the change")
        return held

    def _replace(self, folder: int, content: bytes, before: Digest | None, mode: int | None) -> None:
        # The name follows from the content, so the retry after a crash finds and takes over its own leftover.
        temporary = f".oxios-{hashlib.sha256(self._name.encode() + content).hexdigest()[:24]}.tmp"
        try:
            _write_synced(folder, temporary, content, mode)
            self._expect(before)
            if before is None:
                _link_new(folder, temporary, self._name)
            else:
                os.rename(temporary, self._name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileExistsError as error:
            raise Conflict(f"{self.inner} appeared in the meantime", remedy="read it first") from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)


def target_place(target: PathTarget) -> Place:
    """The place that a call's path was resolved to."""
    return Place(target.mount, target.inner or ".")


@contextmanager
def _folder(mount: str, inner: str) -> Generator[int]:
    """The directory that holds `inner`, open."""
    handle = open_beneath(mount, inner.rpartition("/")[0] or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


def _held(handle: int, inner: str) -> Held:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise Invalid(f"{inner} is {kind}", remedy="use `ls` for directories; devices and pipes cannot be read")
    if status.st_size > FILE_BYTES_MAX:
        raise LimitExceeded(
            f"{inner} has {status.st_size} bytes, more than {FILE_BYTES_MAX}",
            remedy="read a part of it with `exec`, e.g. head, tail or sed -n",
        )
    # As much as it has: room for the most that is allowed would be taken from the system at every read.
    content = os.read(handle, status.st_size + 1)
    if len(content) != status.st_size:  # It changed since, or tells no size, as files of the system do.
        with os.fdopen(handle, "rb", closefd=False) as file:
            content += file.read(FILE_BYTES_MAX + 1 - len(content))
    if len(content) > FILE_BYTES_MAX:
        raise LimitExceeded(f"{inner} grew beyond {FILE_BYTES_MAX} bytes", remedy="read a part of it with `exec`")
    return Held(content, stat.S_IMODE(status.st_mode) & 0o777)


def _write_synced(folder: int, name: str, content: bytes, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, 0o644 if mode is None else mode, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _link_new(folder: int, temporary: str, name: str) -> None:
    """A link, unlike a rename, never replaces what appeared meanwhile; some file systems have none."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except PermissionError:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
