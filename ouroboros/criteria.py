r"""Acceptance criteria: sentences that a program can decide, and those that only a reader can.

The executable forms (words in any case, blanks as you like):

    file exists: PATH                       file PATH exists
    file absent: PATH                       file PATH is absent
    file contains: PATH :: TEXT             file PATH contains "TEXT"
    file matches: PATH :: /PATTERN/         file PATH matches /PATTERN/
    command succeeds: COMMAND               command fails: COMMAND
    command outputs "TEXT": COMMAND
    output contains: TEXT                   output contains "TEXT"
    output matches /PATTERN/                output matches schema

In the forms with a colon a PATH may have blanks; in `file PATH …` it is one word, or quoted. Double
quotes around a whole TEXT are taken off; within them `\"` and `\\` are a quote and a backslash.

Guarantees: `parse_criterion` never guesses. A sentence that is none of the forms is `text`, which
no program decides; one that begins as a form and then is wrong (no path, a bad pattern) raises.
`parse_criterion(parse_criterion(t).text) == parse_criterion(t)`.

Source: RFC-0009.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, cast

from kernel.errors import Invalid
from kernel.pattern import check_pattern

CriterionKind: TypeAlias = Literal[
    "file_exists",
    "file_absent",
    "file_contains",
    "file_matches",
    "command_succeeds",
    "command_fails",
    "command_outputs",
    "output_contains",
    "output_matches",
    "schema",
    "text",
]


@dataclass(frozen=True, slots=True)
class Criterion:
    """`subject` is a path or a command, `wanted` a text or a pattern; `text` its canonical sentence."""

    kind: CriterionKind
    text: str
    subject: str = ""
    wanted: str = ""

    @property
    def executable(self) -> bool:
        return self.kind != "text"


_PATH: Final = r"""(?P<subject>"[^"\n]+"|'[^'\n]+'|`[^`\n]+`|[^\s"'`]\S*)"""
_QUOTED: Final = r"""(?P<wanted>"(?:[^"\\]|\\.)*")"""
_RE: Final = re.IGNORECASE | re.DOTALL
_FORMS: Final[tuple[tuple[CriterionKind, re.Pattern[str]], ...]] = (
    ("file_exists", re.compile(r"file\s+exists\s*:(?P<subject>.*)", _RE)),
    ("file_absent", re.compile(r"file\s+absent\s*:(?P<subject>.*)", _RE)),
    ("file_contains", re.compile(r"file\s+contains\s*:(?P<subject>.*?)(?:\s::\s(?P<wanted>.*))?", _RE)),
    ("file_matches", re.compile(r"file\s+matches\s*:(?P<subject>.*?)(?:\s::\s(?P<wanted>.*))?", _RE)),
    ("command_succeeds", re.compile(r"command\s+succeeds\s*:(?P<subject>.*)", _RE)),
    ("command_fails", re.compile(r"command\s+fails\s*:(?P<subject>.*)", _RE)),
    ("command_outputs", re.compile(rf"command\s+outputs\s+{_QUOTED}\s*:(?P<subject>.*)", _RE)),
    ("output_contains", re.compile(r"output\s+contains\s*:(?P<wanted>.*)", _RE)),
    ("output_contains", re.compile(rf"output\s+contains\s+{_QUOTED}", _RE)),
    ("schema", re.compile(r"output\s+matches\s+(?:the\s+)?(?:output[ _])?schema", _RE)),
    ("output_matches", re.compile(r"output\s+matches\s*:?\s*/(?P<wanted>.*)/", _RE)),
    ("file_exists", re.compile(rf"file\s+{_PATH}\s+exists", _RE)),
    ("file_absent", re.compile(rf"file\s+{_PATH}\s+(?:is\s+absent|does\s+not\s+exist)", _RE)),
    ("file_contains", re.compile(rf"file\s+{_PATH}\s+contains\s+{_QUOTED}", _RE)),
    ("file_matches", re.compile(rf"file\s+{_PATH}\s+matches\s+/(?P<wanted>.*)/", _RE)),
)
_BEGINS: Final = re.compile(
    r"(?:file\s+(?:exists|absent|contains|matches)|command\s+(?:succeeds|fails)|output\s+contains)\s*:"
    r'|command\s+outputs\s*(?::|")|output\s+matches\s*:',
    re.IGNORECASE,
)
_NEAR: Final = re.compile(r"(?:files?|commands?|outputs?)\s+\w+\s*(?:\"[^\"]*\"\s*)?:", re.IGNORECASE)
_WHOLE_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_PATTERNED: Final = frozenset({"file_matches", "output_matches"})
_TABLE_KEYS: Final = {
    "file": ("exists", "absent", "contains", "matches"),
    "command": ("succeeds", "fails", "outputs"),
    "output": ("contains", "matches"),
    "schema": (),
}


def parse_criterion(text: str) -> Criterion:
    """Raises: Invalid, where the sentence begins as an executable form and is not a whole one."""
    plain = _bare(text)
    for kind, form in _FORMS:
        found = form.fullmatch(plain)
        if found:
            parts = found.groupdict()
            return _checked(kind, text, (parts.get("subject") or "").strip(), _wanted(kind, parts.get("wanted")))
    if _BEGINS.match(plain):
        raise _malformed(text)
    return Criterion("text", plain)


def canonical_text(item: object) -> str:
    """The sentence of a criterion written as text or as a table such as `{file="a", contains="x"}`.

    Raises: Invalid.
    """
    if isinstance(item, str):
        return parse_criterion(item).text
    if not isinstance(item, Mapping):
        raise Invalid(f"a criterion is a sentence or a table, not {item!r}", remedy=_forms_help())
    return _from_table(cast("Mapping[str, object]", item)).text


def is_near_miss(criterion: Criterion) -> bool:
    """A sentence left to a reader that looks as if a program was meant to decide it."""
    return criterion.kind == "text" and bool(_NEAR.match(criterion.text))


def _from_table(table: Mapping[str, object]) -> Criterion:
    subject_key = next((key for key in _TABLE_KEYS if key in table), None)
    if subject_key is None:
        raise Invalid(f"the criterion {dict(table)!r} names no file, command, output or schema", remedy=_forms_help())
    if subject_key == "schema":
        if dict(table) != {"schema": True}:
            raise Invalid(f"the criterion {dict(table)!r} is not whole", remedy="write {schema = true}")
        return parse_criterion("output matches schema")
    verbs = [key for key in table if key != subject_key]
    allowed = _TABLE_KEYS[subject_key]
    if len(verbs) != 1 or verbs[0] not in allowed:
        raise Invalid(
            f"the criterion {dict(table)!r} needs {subject_key} and exactly one of {', '.join(allowed)}",
            remedy=_forms_help(),
        )
    return _table_kind(subject_key, verbs[0], table[subject_key], table[verbs[0]])


def _table_kind(subject_key: str, verb: str, subject: object, value: object) -> Criterion:
    if subject_key == "output":
        if subject is not True:
            raise Invalid(f"output = {subject!r} means nothing", remedy='write {output = true, contains = "TEXT"}')
        subject = ""
    if not isinstance(subject, str):
        raise Invalid(f"{subject_key} must be a text, not {subject!r}", remedy=_forms_help())
    flagged = verb in {"exists", "absent", "succeeds", "fails"}
    if flagged and not isinstance(value, bool):
        raise Invalid(f"{verb} must be true or false, not {value!r}", remedy=_forms_help())
    if not flagged and not isinstance(value, str):
        raise Invalid(f"{verb} must be a text, not {value!r}", remedy=_forms_help())
    if flagged and value is False:
        verb = {"exists": "absent", "absent": "exists", "succeeds": "fails", "fails": "succeeds"}[verb]
    kind = cast("CriterionKind", f"{subject_key}_{verb}")
    return _checked(kind, f"{subject_key} {verb}", subject.strip(), value if isinstance(value, str) else "")


def _checked(kind: CriterionKind, text: str, subject: str, wanted: str) -> Criterion:
    needs_subject = kind.startswith(("file_", "command_"))
    needs_wanted = kind.endswith(("_contains", "_matches", "_outputs"))
    if kind.startswith("file_"):
        subject = _unquoted_path(subject)
        if "::" in subject or "\n" in subject:
            raise Invalid(f"{subject!r} cannot be a path of a criterion", remedy="use a path without :: or newline")
    if (needs_subject and not subject) or (needs_wanted and not wanted):
        raise _malformed(text)
    if kind in _PATTERNED:
        check_pattern(wanted)
    made = Criterion(kind, "", subject, wanted)
    return replace(made, text=_sentence(made))


def _sentence(criterion: Criterion) -> str:
    subject, wanted = criterion.subject, criterion.wanted
    match criterion.kind:
        case "file_exists" | "file_absent" | "command_succeeds" | "command_fails":
            return f"{criterion.kind.replace('_', ' ')}: {subject}"
        case "file_contains":
            return f"file contains: {subject} :: {_quoted(wanted)}"
        case "file_matches":
            return f"file matches: {subject} :: /{wanted}/"
        case "command_outputs":
            return f"command outputs {_quoted(wanted, always=True)}: {subject}"
        case "output_contains":
            return f"output contains: {_quoted(wanted)}"
        case "output_matches":
            return f"output matches /{wanted}/"
        case "schema":
            return "output matches schema"
        case "text":
            return criterion.text


def _wanted(kind: CriterionKind, written: str | None) -> str:
    text = (written or "").strip() if kind != "output_matches" else (written or "")
    if kind == "file_matches":
        return text[1:-1] if len(text) > 1 and text.startswith("/") and text.endswith("/") else text
    if _WHOLE_QUOTED.fullmatch(text):
        return _ESCAPE.sub(r"\1", text[1:-1])
    return text


def _quoted(text: str, *, always: bool = False) -> str:
    if not always and text == text.strip() and not _WHOLE_QUOTED.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _bare(text: str) -> str:
    plain = text.strip()
    if len(plain) > 1 and plain.startswith("`") and plain.endswith("`") and plain.count("`") == 2:  # noqa: PLR2004 -- a pair
        plain = plain[1:-1].strip()
    return plain


def _unquoted_path(path: str) -> str:
    while len(path) > 1 and path[0] == path[-1] and path[0] in "\"'`":
        path = path[1:-1].strip()
    return path


def _malformed(text: str) -> Invalid:
    return Invalid(f"the criterion {text.strip()[:200]!r} is not whole", remedy=_forms_help())


def _forms_help() -> str:
    return (
        "the forms are: file exists|absent: PATH; file contains: PATH :: TEXT; file matches: PATH :: /PATTERN/; "
        'command succeeds|fails: COMMAND; command outputs "TEXT": COMMAND; output contains: TEXT; '
        "output matches /PATTERN/; output matches schema"
    )
