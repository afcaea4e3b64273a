"""The notations of a seed (TOML, JSON, Markdown with front matter), read into one plain mapping.

Guarantees: what the file says is in the mapping or the file is refused with its line; a key given
twice is refused in every notation.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, cast

from kernel.errors import Invalid
from kernel.frontmatter import split_matter

Form: TypeAlias = Literal["toml", "json", "md", "text"]
FORM_OF_SUFFIX: Final[dict[str, Form]] = {".toml": "toml", ".json": "json", ".md": "md", ".markdown": "md"}
_SECTIONS: Final = {
    "constraints": "constraints",
    "criteria": "criteria",
    "acceptance criteria": "criteria",
}
_HEADING: Final = re.compile(r"#{1,6}\s+(?P<title>.*?)\s*#*")
_ITEM: Final = re.compile(r"(?:[-*+]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?(?P<text>.*)")
_COMMENT: Final = re.compile(r"<!--.*?-->")
_FENCE: Final = re.compile(r"\s{0,3}(```+|~~~+)")
_TOML_KEY: Final = re.compile(r"^\s*(?:\w+\s*=|\[)", re.MULTILINE)


def sniff(text: str) -> Form:
    """The notation of a text without a file name."""
    head = text.lstrip()
    if head.startswith("{"):
        return "json"
    if text.startswith(("---\n", "---\r\n")):
        return "md"
    if re.search(r"^goal\s*=", text, re.MULTILINE) and _TOML_KEY.search(text):
        return "toml"
    return "text"


def read_form(text: str, form: Form, label: str) -> dict[str, object]:
    """Raises: Invalid, naming `label` and, where it is known, the line."""
    readers: dict[Form, Callable[[str, str], dict[str, object]]] = {
        "toml": _read_toml,
        "json": _read_json,
        "md": _read_markdown,
        "text": lambda body, _label: {"goal": body.strip()},
    }
    return readers[form](text, label)


def line_of(text: str, key: str) -> int | None:
    """The first line that sets `key`, in any of the notations."""
    name = re.escape(key)
    found = re.search(rf"^[ \t]*(?:\[+\s*{name}\s*\]+|[\"']?{name}[\"']?\s*[=:])|\"{name}\"\s*:", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _read_toml(text: str, label: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = re.sub(r" \(at (line \d+, column \d+)\)$", r"", str(error))
        place = re.search(r"\(at (line \d+, column \d+)\)$", str(error))
        where = f", {place[1]}" if place else ", at the end"
        raise Invalid(f"{label}{where}: {message}", remedy="correct the TOML there (texts stand in quotes)") from error
    except (RecursionError, ValueError) as error:
        raise Invalid(f"{label}: it is nested too deep or holds an impossible number", remedy="simplify it") from error


def _read_json(text: str, label: str) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made: dict[str, object] = {}
        for key, value in pairs:
            if key in made:
                line = line_of(text, key)
                raise Invalid(f"{label}, line {line}: {key!r} is given twice", remedy="keep one of them")
            made[key] = value
        return made

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"{label}, {where}: {error.msg}", remedy="correct the JSON there") from error
    except (RecursionError, ValueError) as error:
        raise Invalid(f"{label}: it is nested too deep or holds an impossible number", remedy="simplify it") from error
    if not isinstance(found, dict):
        raise Invalid(f"{label}: a seed in JSON is one object", remedy='write {"goal": "…"}')
    return cast("dict[str, object]", found)


def _read_markdown(text: str, label: str) -> dict[str, object]:
    matter = split_matter(text, label)
    fields = dict(matter.fields)
    prose, lists = _sections(matter.body, matter.body_line, label)
    for key, items in lists.items():
        if key in fields:
            raise Invalid(
                f"{label}: {key} stand in the front matter and in a section", remedy="keep one of the two places"
            )
        fields[key] = items
    if "goal" not in fields:
        fields["goal"] = prose
    elif prose and "original_request" not in fields:
        fields["original_request"] = prose
    elif prose:
        raise Invalid(
            f"{label}, line {matter.body_line}: goal and original_request are given, so the body has no meaning",
            remedy="remove the body, or one of the two",
        )
    return fields


def _sections(body: str, first_line: int, label: str) -> tuple[str, dict[str, list[str]]]:
    """The prose, and the items under the headings that are known; headings in fences are prose.

    Comments (`<!-- … -->`, within one line) are left out.
    """
    prose: list[str] = []
    lists: dict[str, list[str]] = {}
    current: list[str] | None = None
    fence = ""
    for number, written in enumerate(body.split("\n"), first_line):
        line = written if fence else _COMMENT.sub("", written)
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif heading := _HEADING.fullmatch(line.rstrip()):
            section = _SECTIONS.get(heading["title"].lower().rstrip(":"))
            current = lists.setdefault(section, []) if section else None
            if section:
                continue
        if current is None:
            prose.append(line)
        else:
            _add_item(current, line, f"{label}, line {number}")
    return "\n".join(prose).strip(), lists


def _add_item(items: list[str], line: str, place: str) -> None:
    if not line.strip():
        return
    item = _ITEM.fullmatch(line.strip())
    if item and not line.startswith(("    ", "\t")):
        items.append(item["text"].strip())
    elif items and line.startswith((" ", "\t")):
        items[-1] = f"{items[-1]} {line.strip()}"
    else:
        raise Invalid(
            f"{place}: {line.strip()[:80]!r} is no list item",
            remedy="under Constraints and Criteria write items that begin with `- `; prose goes above them",
        )
