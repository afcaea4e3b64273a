"""Settings syscalls: change single values of the home's config.toml, or its whole text; offered to no model.

Guarantees: what is written was checked with every other layer first, keeps its comments, and replaces only
the text that the caller saw, told by its digest: a file that changed meanwhile is a Conflict. What running
parts can take up holds when the call returns (`kernel.settings.live`). The change is journalled as
`config.changed`, like one that the next boot finds; without a reader of settings it is left to that boot.

Source: RFC-0010.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from anyio import to_thread
from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import Conflict
from kernel.ids import Principal
from kernel.journal.appender import Appender
from kernel.jsontypes import JsonObject
from kernel.runtime.model import ModelDesk
from kernel.settings import Settings
from kernel.settings.edit import check_text, edited, replace_text, text_of
from kernel.settings.load import CONFIG_NAME, Resolved, resolve
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import Claim, NameClaim

TEXT_CHARS_MAX: Final = 64 * 1024
CHANGES_MAX: Final = 400


Note = Callable[[Appender, Settings, Principal], Awaitable[JsonObject]]
"""Journals what differs from the settings that were last noted."""


def digest_of(text: bytes) -> str:
    return sha256(text).hexdigest()


@dataclass(frozen=True, slots=True)
class ConfigDesk:
    """Where the settings' file is and who follows it. Provided at boot."""

    journal: Appender
    started: Settings
    """As they were when the kernel was opened."""
    desk: ModelDesk
    environ: Mapping[str, str]
    note: Note

    def text(self) -> bytes:
        """Raises: Unavailable."""
        return text_of(self.started.home)

    def resolved(self) -> Resolved:
        """The layers as they are now, whether or not they are in force. Raises: SettingsInvalid."""
        read = self.desk.watch.read
        return read() if read is not None else resolve(env=self.environ, home=self.started.home, project=False)

    def checked(self, new: bytes) -> Resolved:
        """What `new` as the file would come to. Raises: SettingsInvalid, a line for each problem."""
        return check_text(self.started.home, new, self.environ)

    def edited(self, old: bytes, changes: Mapping[str, str | None]) -> bytes:
        """Raises: SettingsInvalid, a line for each value that is wrong."""
        return edited(old, changes, str(self.started.home / CONFIG_NAME))

    def seen(self, digest: str) -> bytes:
        """The file's text, which has that digest. Raises: Conflict, where it changed."""
        old = self.text()
        if digest_of(old) != digest:
            raise Conflict(f"{CONFIG_NAME} was changed by somebody else meanwhile", remedy="load it again")
        return old

    async def put(self, old: bytes, new: bytes, by: Principal) -> JsonObject:
        """Write it, let running parts follow, and journal what differs. Raises: Conflict, Unavailable, JournalDown."""
        await to_thread.run_sync(replace_text, self.started.home, old, new)
        await self.desk.refresh()
        if self.desk.watch.read is None:
            return {}
        return await self.note(self.journal, self.resolved().settings, by)


class SetArgs(Args):
    changes: dict[str, str | None] = Field(min_length=1, max_length=CHANGES_MAX)
    """Each dotted key with its value as text, or null to remove it."""
    digest: str = Field(max_length=64)
    """SHA-256 of the file as it was seen."""


class WriteArgs(Args):
    text: str = Field(max_length=TEXT_CHARS_MAX)
    digest: str = Field(max_length=64)


def _act(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "config", Rights.WRITE),)


@syscall("config.set", SetArgs, claims=_act, effect=Effect.WRITE, approval="auto", offered=False)
async def config_set(call: Call, args: SetArgs) -> FileEdit:
    """Change some settings in the home's config.toml."""
    desk = call.services.get(ConfigDesk)
    old = desk.seen(args.digest)
    new = desk.edited(old, args.changes)
    desk.checked(new)
    return FileEdit(desk, call.principal, old, new)


@syscall("config.write", WriteArgs, claims=_act, effect=Effect.WRITE, approval="auto", offered=False)
async def config_write(call: Call, args: WriteArgs) -> FileEdit:
    """Replace the text of the home's config.toml."""
    desk = call.services.get(ConfigDesk)
    old, new = desk.seen(args.digest), args.text.encode()
    desk.checked(new)
    return FileEdit(desk, call.principal, old, new)


@dataclass(frozen=True, slots=True)
class FileEdit:
    """The change of the file from one text to another."""

    desk: ConfigDesk
    principal: Principal
    old: bytes
    new: bytes

    @property
    def mark(self) -> JsonObject:
        return {"kind": "config", "before": digest_of(self.old), "after": digest_of(self.new)}

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return ()

    async def apply(self) -> ToolResult:
        """Raises: Conflict, Unavailable, JournalDown."""
        changes = await self.desk.put(self.old, self.new, self.principal)
        return ToolResult(f"changed: {', '.join(changes) or 'nothing in force'}", {"changed": list(changes)})
