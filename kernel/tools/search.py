"""`find` and `grep`: names and lines in a tree of the workspace.

Guarantees: patterns are matched in time linear in the text (no look-around or back-references), so
no pattern can hang the kernel; hidden and dependency directories are left out unless asked for and
that is said; every bound that cut the answer is told.

Source: RFC-0004.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import OxiosError
from kernel.limits import FILE_BYTES_MAX
from kernel.pattern import matcher
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import PathClaim, PathTarget
from kernel.tools.place import Place
from kernel.tools.text import binary_kind, decode, printable
from kernel.tools.walk import SEARCH_S, Node, Stop, Walk, glob_matches, in_worker

FOUND_MAX: Final = 1_000
PER_FILE_MAX: Final = 100
LINE_CHARS_SHOWN: Final = 300
_PATTERN_CHARS_MAX: Final = 1_000
# With these, whether a whole text matches says nothing about its lines.
_WHOLE_TEXT_ANCHORS: Final = ("\\A", "\\z", "\\Z", "\\n", "\\r")

Match = Callable[[str], bool]


class FindArgs(Args):
    pattern: str = Field(
        min_length=1, max_length=_PATTERN_CHARS_MAX, description="Glob: `*.py` for names, `src/**/*.py` for paths."
    )
    path: str = Field(default=".", max_length=4_096, description="Directory to search below.")
    kind: Literal["any", "file", "directory"] = Field(default="any", description="What to find.")
    limit: int = Field(default=200, ge=1, le=FOUND_MAX, description="How many at most.")
    everything: bool = Field(default=False, description="Look into hidden and dependency directories too.")


@syscall(
    "find",
    FindArgs,
    claims=lambda a: (PathClaim(a.path, Rights.READ),),
    reaches=(("file", Rights.READ),),
    effect=Effect.READ,
)
async def find(call: Call, args: FindArgs) -> ToolResult:
    """Find files and directories by name, below a directory."""
    target = call.path(args.path)
    shown = _Shown(call, target)

    def job(stop: Stop) -> tuple[list[str], bool, Walk]:
        walk = Walk(target, stop, args.everything)
        found: list[str] = []
        for node in walk.nodes():
            if _is_kind(node, args.kind) and glob_matches(args.pattern, node.path):
                if len(found) == args.limit:
                    return found, True, walk
                found.append(shown.path(node.inner) + ("/" if node.is_dir else ""))
        return found, False, walk

    if not target.is_dir:
        hit = glob_matches(args.pattern, target.inner.rpartition("/")[2])
        return ToolResult(shown.path(target.inner) if hit else "nothing found", {"found": int(hit)})
    found, more, walk = await in_worker(job, call.clock)
    notes = [f"more than {args.limit} found; narrow the pattern"] if more else []
    return _answer(found, notes, walk, {"found": len(found)})


def _is_kind(node: Node, kind: str) -> bool:
    return kind == "any" or (node.is_dir if kind == "directory" else node.is_file)


class GrepArgs(Args):
    pattern: str = Field(
        min_length=1, max_length=_PATTERN_CHARS_MAX, description="Regular expression, without look-around."
    )
    path: str = Field(default=".", max_length=4_096, description="File, or directory to search below.")
    glob: str = Field(default="", max_length=_PATTERN_CHARS_MAX, description="Only files whose name or path fits it.")
    ignore_case: bool = Field(default=False, description="Whether upper and lower case are the same.")
    fixed: bool = Field(default=False, description="Take the pattern as plain text.")
    context: int = Field(default=0, ge=0, le=10, description="Lines to show around each match.")
    limit: int = Field(default=100, ge=1, le=FOUND_MAX, description="How many matching lines at most.")
    everything: bool = Field(default=False, description="Look into hidden and dependency directories too.")


@syscall(
    "grep",
    GrepArgs,
    claims=lambda a: (PathClaim(a.path, Rights.READ),),
    reaches=(("file", Rights.READ),),
    effect=Effect.READ,
)
async def grep(call: Call, args: GrepArgs) -> ToolResult:
    """Search the lines of text files for a pattern; answers `path:line: text`."""
    target = call.path(args.path)
    search = _Search(args, _Shown(call, target), _line_match(args), _text_match(args))

    def job(stop: Stop) -> Walk:
        walk = Walk(target, stop, args.everything)
        if not target.is_dir:
            search.file(target.mount, target.inner)
            return walk
        for node in walk.nodes():
            if node.is_file and (not args.glob or glob_matches(args.glob, node.path)):
                search.file(target.mount, node.inner)
                if search.full:
                    break
        return walk

    walk = await in_worker(job, call.clock)
    data = {"matches": search.count, "files": search.files, "searched": search.searched}
    return _answer(search.lines, search.notes(), walk, data)


@dataclass(slots=True)
class _Shown:
    """Paths as the model can write them again: relative in the workspace, absolute elsewhere."""

    call: Call
    target: PathTarget

    def path(self, inner: str) -> str:
        mounts = self.call.mounts
        if mounts and mounts[0].path == self.target.mount:
            return printable(inner or ".")
        return printable(f"{self.target.mount}/{inner}")


@dataclass(slots=True)
class _Search:
    args: GrepArgs
    shown: _Shown
    line_matches: Match
    text_matches: Match
    lines: list[str] = field(default_factory=list[str])
    count: int = 0
    files: int = 0
    searched: int = 0
    large: int = 0
    full: bool = False
    cut_files: int = 0

    def file(self, mount: str, inner: str) -> None:
        """Search one file; what cannot be read as text is passed over."""
        try:
            held = Place(mount, inner).look()
        except OxiosError:
            self.large += 1
            return
        if held is None or binary_kind(held.content) is not None:
            return
        self.searched += 1
        text = decode(held.content)[0].replace("\r\n", "\n")
        if self.text_matches(text):
            self._lines(self.shown.path(inner), text.split("\n"))

    def _lines(self, path: str, lines: list[str]) -> None:
        if not lines[-1]:
            lines.pop()
        hits: dict[int, None] = {}
        for number, line in enumerate(lines):
            if not self.line_matches(line):
                continue
            if self.count == self.args.limit:
                self.full = True
                break
            if len(hits) == PER_FILE_MAX:
                self.cut_files += 1
                break
            hits[number] = None
            self.count += 1
        self.files += bool(hits)
        self._show(path, lines, hits)

    def _show(self, path: str, lines: list[str], hits: dict[int, None]) -> None:
        around = self.args.context
        shown = -1
        for hit in hits:
            first = max(hit - around, shown + 1)
            if around and self.lines and (shown < 0 or first > shown + 1):
                self.lines.append("--")
            shown = max(shown, min(hit + around, len(lines) - 1))
            for at in range(first, shown + 1):
                mark = ":" if at in hits else "-"
                self.lines.append(f"{path}{mark}{at + 1}{mark} {_clip(lines[at])}")

    def notes(self) -> list[str]:
        found: list[str] = []
        if self.full:
            found.append(f"more than {self.args.limit} lines match; narrow the pattern, the path or the glob")
        if self.cut_files:
            found.append(f"{self.cut_files} files have more than {PER_FILE_MAX} matching lines")
        if self.large:
            found.append(f"{self.large} files left out: unreadable or over {FILE_BYTES_MAX} bytes")
        return found


def _line_match(args: GrepArgs) -> Match:
    if args.fixed:
        wanted = args.pattern.lower() if args.ignore_case else args.pattern
        return (lambda line: wanted in line.lower()) if args.ignore_case else (lambda line: wanted in line)
    return matcher(f"(?i){args.pattern}" if args.ignore_case else args.pattern)


def _text_match(args: GrepArgs) -> Match:
    """A quick look at a whole file: false only where none of its lines can match."""
    if args.fixed:
        return _line_match(args)
    if any(anchor in args.pattern for anchor in _WHOLE_TEXT_ANCHORS):
        return lambda _text: True
    return matcher(f"(?{'i' if args.ignore_case else ''}m){args.pattern}")


def _clip(line: str) -> str:
    shown = "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in line[:LINE_CHARS_SHOWN])
    return shown + (f" … [{len(line)} characters]" if len(line) > LINE_CHARS_SHOWN else "")


def _answer(found: list[str], notes: list[str], walk: Walk, data: dict[str, int]) -> ToolResult:
    if walk.stopped:
        notes.append(f"stopped after {SEARCH_S:.0f} s; the answer is not complete, search a smaller tree")
    if walk.skipped:
        notes.append(f"left out {', '.join(sorted(walk.skipped)[:5])} (everything=true looks there too)")
    if walk.unread:
        notes.append(f"{walk.unread} directories could not be read")
    return ToolResult("\n".join([*(found or ["nothing found"]), *(f"[{note}]" for note in notes)]), data)
