"""Resources: a kind and a pattern, with a decidable `⊆`.

A pattern is a list of segments. A segment is a literal or `*` (exactly one segment, whatever it
holds); the last may be `**` (any number of segments, none included). There are no wildcards inside
a segment: that keeps `⊆` decidable in one pass, and no name can smuggle a wildcard in, because a
concrete target is compared as literals only (`Resource.target`).

Guarantees: `a.within(b)` is exactly "every concrete target of a is one of b" (property-tested
against enumeration). What this does not protect against: two names for one file. Paths are made
real by the gate's path layer before they come here.

Source: RFC-0003.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

from kernel.errors import Invalid
from kernel.limits import RESOURCE_CHARS_MAX, RESOURCE_SEGMENTS_MAX

Kind: TypeAlias = Literal[
    "file", "exec", "net", "model", "memory", "mcp", "agent", "ask", "search", "kernel", "persona", "approve"
]
KINDS: Final = frozenset(get_args(Kind))

ANY: Final = "*"
PORT_MAX: Final = 65_535
REST: Final = "**"


@dataclass(frozen=True, slots=True)
class Resource:
    """`file:/w/src/**`, `exec:git`, `exec:shell`, `net:*.example.org:443`, `model:openai/*`, `ask:user` …

    `file` segments are path components from the root. `net` segments are the host's labels from
    the right (`org`, `example`, `**` for `*.example.org`), and the port is compared apart.
    """

    kind: Kind
    segments: tuple[str, ...]
    port: str = ""
    literal: bool = False
    """A concrete target: its segments are names even where they read `*`."""

    @classmethod
    def parse(cls, text: str) -> Resource:
        """Read a pattern. Raises: Invalid, naming the part that is wrong."""
        kind, rest = _split(text)
        if kind == "net":
            return _parse_net(text, rest)
        segments = _path_segments(text, rest) if kind == "file" else tuple(rest.split("/"))
        _check_pattern(text, segments)
        return cls(kind, segments)

    @classmethod
    def target(cls, kind: Kind, name: str, port: str = "") -> Resource:
        """One concrete thing. For `file`, `name` is an absolute, already real path."""
        if kind == "net":
            return cls(kind, tuple(reversed(name.lower().rstrip(".").split("."))), port, literal=True)
        segments = tuple(part for part in name.split("/") if part) if kind == "file" else tuple(name.split("/"))
        return cls(kind, segments, port, literal=True)

    def within(self, other: Resource) -> bool:
        """`self ⊆ other`: every concrete target of self is one of other."""
        if self.kind != other.kind:
            return False
        if self.kind == "net" and other.port not in (ANY, self.port):
            return False
        if other.literal:
            return self.segments == other.segments and (self.literal or not self.wild)
        return _below(self.segments, other.segments, literal=self.literal)

    def meet(self, other: Resource) -> Resource | None:
        """`self ∩ other`: exactly the targets of both, or None where they share none."""
        if self.within(other):
            return self
        if other.within(self):
            return other
        if self.kind != other.kind or self.literal or other.literal:
            return None
        if ANY not in (self.port, other.port) and self.port != other.port:
            return None
        segments = _shared(self.segments, other.segments)
        port = other.port if self.port == ANY else self.port
        return None if segments is None else Resource(self.kind, segments, port)

    @classmethod
    def below(cls, place: Resource) -> Resource:
        """The tree of a concrete `file` target: itself and everything below it."""
        return cls(place.kind, (*place.segments, REST))

    @property
    def is_tree(self) -> bool:
        """One place and everything below it: its only wildcard is a last `**`."""
        return not self.literal and self.segments[-1:] == (REST,) and ANY not in self.segments

    @property
    def wild(self) -> bool:
        """A segment of it reads as a wildcard."""
        return ANY in self.segments or REST in self.segments

    def __str__(self) -> str:
        if self.kind == "net":
            labels = [ANY if label == REST else label for label in reversed(self.segments)]
            return f"net:{'.'.join(labels)}:{self.port}"
        return f"{self.kind}:{'/' if self.kind == 'file' else ''}{'/'.join(self.segments)}"


def _below(inner: tuple[str, ...], outer: tuple[str, ...], *, literal: bool) -> bool:
    for position, want in enumerate(outer):
        if want == REST:
            return True
        if position == len(inner):
            return False
        have = inner[position]
        if not literal and have == REST:
            return False
        if want != ANY and (have != want or (not literal and have == ANY)):
            return False
    return len(inner) == len(outer)


def _shared(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...] | None:
    shared: list[str] = []
    for position in range(max(len(left), len(right)) + 1):
        mine, theirs = left[position : position + 1], right[position : position + 1]
        if mine == (REST,):
            return (*shared, *right[position:])
        if theirs == (REST,):
            return (*shared, *left[position:])
        if not mine or not theirs:
            return tuple(shared) if mine == theirs else None
        if mine != theirs and ANY not in (*mine, *theirs):
            return None
        shared += theirs if mine == (ANY,) else mine
    return None


def _split(text: str) -> tuple[Kind, str]:
    kind, colon, rest = text.partition(":")
    if len(text) > RESOURCE_CHARS_MAX:
        raise Invalid(f"a resource of {len(text)} characters is too long", remedy=f"at most {RESOURCE_CHARS_MAX}")
    if not colon or kind not in KINDS or not rest:
        raise Invalid(
            f"{text!r} is not a resource", remedy=f"write KIND:PATTERN, KIND one of {', '.join(sorted(KINDS))}"
        )
    return cast("Kind", kind), rest


def _path_segments(text: str, rest: str) -> tuple[str, ...]:
    if not rest.startswith("/"):
        raise Invalid(f"{text!r} is not an absolute path", remedy="a file resource starts at the root: file:/w/src/**")
    segments = tuple(part for part in rest.split("/") if part)
    if any(part in {".", ".."} for part in segments):
        raise Invalid(f"{text!r} has . or .. in it", remedy="write the real path")
    return segments


def is_port(text: str) -> bool:
    """Whether it is a port's number in plain digits: `isdigit` alone takes signs that `int` does not."""
    return text.isascii() and text.isdigit() and len(text) <= len(str(PORT_MAX)) and 0 < int(text) <= PORT_MAX


def _parse_net(text: str, rest: str) -> Resource:
    host, colon, port = rest.rpartition(":")
    if not colon or not host or not (port == ANY or is_port(port)):
        raise Invalid(f"{text!r} needs a host and a port", remedy="write net:HOST:PORT; HOST may be * or *.example.org")
    labels = host.lower().rstrip(".").split(".")
    if any(ANY in label for label in labels[1:]) or (ANY in labels[0] and labels[0] != ANY):
        raise Invalid(f"{text!r} has a * that is not the whole first label", remedy="write * or *.example.org")
    if labels[0] == ANY:
        labels[0] = REST
    segments = tuple(reversed(labels))
    _check_pattern(text, segments)
    return Resource("net", segments, port)


def _check_pattern(text: str, segments: tuple[str, ...]) -> None:
    if len(segments) > RESOURCE_SEGMENTS_MAX:
        raise Invalid(f"{text[:60]!r}… has {len(segments)} segments", remedy=f"at most {RESOURCE_SEGMENTS_MAX}")
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if not segment or (ANY in segment and segment != ANY and not (segment == REST and last)):
            raise Invalid(
                f"{text!r} has {segment!r} where a name, * or a last ** belongs",
                remedy="* stands for one whole segment, ** for the rest, at the end only",
            )
