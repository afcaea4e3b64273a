"""A change of one file, as `write`, `edit` and `undo` make it: computed, recorded, then applied.

Guarantees: `apply` happens whole or not at all; the mark it carries tells afterwards whether it
did, and together with the pre-image takes it back. Content itself is not in the mark: the
pre-image is the one blob, the new content is in the call's arguments, and both are named by digest.
What this does not protect against is written at `kernel.tools.place`.

Source: RFC-0004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import anyio
from pydantic import BaseModel, ConfigDict, ValidationError

from kernel.directive import Mount
from kernel.errors import Conflict, Invalid
from kernel.ids import Digest
from kernel.jsontypes import JsonObject
from kernel.syscalls.declare import ToolResult
from kernel.tools.hands import Hands
from kernel.tools.place import Place, digest_of
from kernel.tools.text import sized

FILE: Final = "file"
ChangeState: TypeAlias = Literal["applied", "pending", "foreign"]
_HANDS: Final = Hands()


class FileMark(BaseModel):
    """What the intent records of a file change; `before` None means there was no file, `after` None removal."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["file"]
    mount: str
    inner: str
    before: Digest | None
    after: Digest | None
    mode: int | None = None
    dirs: tuple[str, ...] = ()
    """Parent directories that were not there: made by the change, removed with it where empty."""

    @property
    def place(self) -> Place:
        return Place(self.mount, self.inner)


@dataclass(frozen=True, slots=True)
class FileChange:
    """From `pre` to `post` at one place; None is no file. `result` is what `apply` answers."""

    place: Place
    pre: bytes | None
    post: bytes | None
    result: ToolResult
    mode: int | None = None
    dirs: tuple[str, ...] = ()
    leave_dirs: tuple[str, ...] = field(default=(), repr=False)
    """Directories to remove afterwards where they are empty (an undo's)."""

    @property
    def mark(self) -> JsonObject:
        return {
            "kind": FILE,
            "mount": self.place.mount,
            "inner": self.place.inner,
            "before": digest_of(self.pre),
            "after": digest_of(self.post),
            "mode": self.mode,
            "dirs": list(self.dirs),
        }

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return () if self.pre is None else (self.pre,)

    async def apply(self) -> ToolResult:
        """Raises: Conflict (the place holds something else now), Invalid (the disk refused it)."""
        # Shielded: a cancelled run must not leave a change without its outcome being known here.
        with anyio.CancelScope(shield=True):
            try:
                await _HANDS.do(self._apply)
            except OSError as error:
                raise Invalid(
                    f"{self.place.inner} cannot be written: {error.strerror}",
                    remedy="check the disk's free space and the file's permissions",
                ) from error
        return self.result

    def _apply(self) -> None:
        before = digest_of(self.pre)
        if self.post is not None:
            self.place.put(self.post, before, self.mode)
        elif before is not None:
            self.place.drop(before)
        self.place.remove_empty(self.leave_dirs)


def file_change(place: Place, post: bytes, result: ToolResult) -> FileChange:
    """The change that makes `place` hold `post`, from what it holds now.

    Raises: Invalid, LimitExceeded (see `Place.look`).
    """
    held = place.look()
    dirs = () if held else place.missing_parents()
    return FileChange(place, held.content if held else None, post, result, held.mode if held else None, dirs)


def read_mark(mark: JsonObject) -> FileMark:
    """Raises: Invalid, where the mark is not a file change's."""
    try:
        return FileMark.model_validate(mark)
    except ValidationError as error:
        raise Invalid(f"not the mark of a file change: {mark.get('kind')!r}") from error


def change_state(mark: JsonObject, mounts: Sequence[Mount]) -> ChangeState:
    """Whether the change stands (`applied`), has not happened (`pending`), or neither (`foreign`).

    A place below none of `mounts` is foreign: it is not this run's to judge.
    """
    known = read_mark(mark)
    if all(mount.path != known.mount for mount in mounts):
        return "foreign"
    held = known.place.look()
    now = digest_of(held.content if held else None)
    if now == known.after:
        return "applied"
    return "pending" if now == known.before else "foreign"


def reversal(mark: JsonObject, pre_image: bytes | None) -> FileChange:
    """The change that takes a file change back, refusing where the file changed since.

    Raises: Conflict (the file is not what the change left), Invalid (the pre-image is another's).
    """
    known = read_mark(mark)
    if digest_of(pre_image) != known.before:
        raise Invalid("the kept pre-image does not have the recorded digest", remedy="run `oxios audit verify`")
    held = known.place.look()
    now = digest_of(held.content if held else None)
    if now != known.after:
        again = now == known.before
        raise Conflict(
            f"{known.inner} already is as it was before" if again else f"{known.inner} was changed since",
            remedy="nothing is left to undo" if again else "undo the later change first, or restore it by hand",
        )
    told = "removed: it did not exist before" if pre_image is None else f"restored, {sized(len(pre_image))}"
    result = ToolResult(f"{known.inner} {told}", {"path": known.inner, "before": known.after, "after": known.before})
    mode = known.mode if known.mode is not None else (held.mode if held else None)
    leave = known.dirs if pre_image is None else ()
    dirs = known.place.missing_parents() if held is None else ()
    return FileChange(known.place, held.content if held else None, pre_image, result, mode, dirs, leave)


async def revert(mark: JsonObject, pre_image: bytes | None) -> ToolResult:
    """Take a file change back now.

    Raises: Conflict, Invalid: see `reversal`.
    """
    return await reversal(mark, pre_image).apply()
