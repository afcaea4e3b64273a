"""Forms that read and change files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kernel.adapters.providers.planner.draft import ART, FILE, MANY, ONE, Built, Draft, Form
from kernel.adapters.providers.planner.mask import FENCE, LITERAL
from kernel.adapters.providers.planner.program import Action, Part, Ref, Template
from kernel.adapters.providers.planner.toolbox import Unfit

_TO_FILE: Final = rf"{ART}{FILE}(?P<path>{ONE})(?:\s+file)?"
_WITH: Final = (
    r"(?:with|containing|saying|holding|that\s+(?:says|contains|reads|holds)|whose\s+contents?\s+(?:is|are))"
    r"\s*:?\s*(?:(?:exactly\s+)?(?:the\s+)?(?:following\s+)?(?:text|contents?|lines?|words?|string|body|code)\b\s*)?:?\s*"
)
_TO_EACH: Final = rf"{LITERAL}\s+(?:to|in|into)\s+{ONE}"
_EACH_WITH: Final = rf"{ONE}\s+{_WITH}{LITERAL}"
_ONE_EACH: Final = rf"(?:{_TO_EACH}|{_EACH_WITH})"
_NEXT: Final = r"(?:\s*,\s*(?:and\s+)?|\s+and\s+)(?:a\s+file\s+)?(?:one\s+)?(?:(?:named|called)\s+)?"
_COUNTED: Final[dict[str, Part]] = {
    "lines": "lines",
    "words": "words",
    "characters": "characters",
    "chars": "characters",
    "bytes": "bytes",
}
_PATHISH: Final = re.compile(r"[./_~\-*0-9]|[A-Z]")


def _read(match: re.Match[str], draft: Draft) -> Built | None:
    written = match["paths"]
    if written.lower() == "it" and not re.match(r"read|open|cat|view", match[0], re.IGNORECASE):
        return None  # "Show it" asks for nothing more than the report shows.
    paths = [draft.path(written)] if written.lower() == "it" else draft.operands(written)
    if any(path.startswith(("http://", "https://")) for path in paths):
        return None
    if match.groupdict().get("art") and not re.search(LITERAL, written) and not all(map(_PATHISH.search, paths)):
        return None
    actions = tuple(_look(path, draft) for path in paths)
    return Built(actions, reads=frozenset(paths))


def _look(path: str, draft: Draft) -> Action:
    is_dir = path.endswith("/") or path in (".", "..")
    return draft.use("list" if is_dir else "read", path=path)


def _write(match: re.Match[str], draft: Draft) -> Built | None:
    path = draft.operand(match["path"])
    if path.startswith(("http://", "https://")):
        return None
    content = draft.content(match["content"])
    _put(path, content, draft)
    return Built(draft.opened(), makes=frozenset((path,)))


def _pairs(written: str) -> Iterator[tuple[str, str]]:
    """Paths and contents."""
    for one in re.finditer(_ONE_EACH, written, re.IGNORECASE):
        first, *_, last = one[0].split(" ", 1)[0], one[0].rsplit(None, 1)[-1]
        if re.match(_TO_EACH, one[0], re.IGNORECASE):
            yield last, first
        else:
            yield first, re.findall(LITERAL, one[0])[-1]


def _write_each(match: re.Match[str], draft: Draft) -> Built:
    """One verb, several files: `"a" to a.txt, "b" to b.txt`, or `a.txt with "a" and b.txt with "b"`."""
    made = {draft.operand(path): draft.content(content) for path, content in _pairs(match["each"])}
    for path, content in made.items():
        _put(path, content, draft)
    return Built(draft.opened(), makes=frozenset(made))


def _write_same(match: re.Match[str], draft: Draft) -> Built:
    paths, content = draft.operands(match["paths"]), draft.content(match["content"])
    for path in paths:
        _put(path, content, draft)
    return Built(draft.opened(), makes=frozenset(paths))


def _put(path: str, content: Template, draft: Draft) -> None:
    if path.endswith("/"):
        raise Unfit(f'"{path}" is a directory; name a file in it')
    draft.use("write", path=path, content=content)


def _empty(match: re.Match[str], draft: Draft) -> Built:
    paths = draft.operands(match["paths"])
    for path in paths:
        draft.use("write", path=path, content="")
    return Built(draft.opened(), makes=frozenset(paths))


def _append(match: re.Match[str], draft: Draft) -> Built:
    path = draft.operand(match["path"])
    as_line = bool(match["line"])
    added = draft.content(match["content"])
    held = draft.use("read", path=path)
    parts = (Ref(held.number, line_end=as_line), *added.parts, *(("\n",) if as_line else ()))
    draft.use("write", path=path, content=Template(parts))
    return Built(draft.opened(), reads=frozenset((path,)), makes=frozenset((path,)))


def _replace(match: re.Match[str], draft: Draft) -> Built:
    path = draft.path(match["path"] or "it")
    everywhere = {"all": True} if match["all"] else {}
    draft.use("edit", path=path, old=draft.operand(match["old"]), new=draft.operand(match["new"]), **everywhere)
    return Built(draft.opened(), reads=frozenset((path,)), makes=frozenset((path,)))


def _copy(match: re.Match[str], draft: Draft) -> Built:
    source, goal = draft.operand(match["source"]), draft.operand(match["path"])
    if goal.endswith("/"):
        goal += source.rstrip("/").rpartition("/")[2]
    held = draft.use("read", path=source)
    draft.use("write", path=goal, content=Template((Ref(held.number),)))
    return Built(draft.opened(), reads=frozenset((source,)), makes=frozenset((goal,)))


def _move(match: re.Match[str], draft: Draft) -> Built:
    source, goal = draft.operand(match["source"]), draft.operand(match["path"])
    draft.run_words(["mv", "--", source, goal])
    return Built(draft.opened(), reads=frozenset((source,)), makes=frozenset((source, goal)))


def _delete(match: re.Match[str], draft: Draft) -> Built:
    paths = draft.operands(match["paths"])
    draft.run_words(["rm", "--", *paths])
    return Built(draft.opened(), makes=frozenset(paths))


def _make_dir(match: re.Match[str], draft: Draft) -> Built:
    path = draft.operand(match["path"])
    draft.run_words(["mkdir", "-p", "--", path])
    return Built(draft.opened(), makes=frozenset((path,)))


def _count(match: re.Match[str], draft: Draft) -> Built:
    part = _COUNTED[match["what"].lower()]
    path = match["path"]
    if path is None or path.lower() in ("it", "them"):
        if draft.it is None:
            raise Unfit("nothing came before that could be counted")
        return Built(shows=Template(tuple(Ref(ref.action, part) for ref in draft.it.refs())))
    name = draft.operand(path)
    held = draft.use("read", path=name)
    return Built(draft.opened(), shows=Template((Ref(held.number, part),)), reads=frozenset((name,)))


COUNT: Final = (
    Form(
        r"(?:count|how\s+many)\s+(?:the\s+|its\s+|their\s+)?(?:number\s+of\s+)?(?P<what>lines|words|characters|chars|bytes)"
        rf"(?:\s+(?:are\s+)?(?:there\s+)?(?:in|of|does|has)\s+(?:the\s+)?(?:file\s+)?(?P<path>{ONE}))?"
        r"(?:\s+(?:have|has|contain))?",
        _count,
    ),
)

FILES: Final = (
    Form(
        rf"(?:create|make|add)\s+{ART}(?:new\s+)?(?:empty\s+)?(?:directory|folder|dir)\s+(?:(?:named|called)\s+)?(?P<path>{ONE})",
        _make_dir,
    ),
    Form(rf"mkdir\s+(?:-p\s+)?(?P<path>{ONE})", _make_dir),
    Form(rf"(?:create|make|write)\s+(?:an?\s+)?empty\s+files?\s+(?:(?:named|called)\s+)?(?P<paths>{MANY})", _empty),
    Form(rf"touch\s+(?:the\s+)?(?:files?\s+)?(?P<paths>{MANY})", _empty),
    Form(
        rf"(?:append|add)\s+(?P<line>(?:(?:the|a|another)\s+)?line\s+)?(?P<content>.+?)\s+(?:at|to|onto)\s+"
        rf"(?:the\s+end\s+of\s+)?{_TO_FILE}",
        _append,
    ),
    Form(
        rf"(?:write|save|put|create|make|add)\s+(?:the\s+)?(?:(?:\w+\s+)?files\s*:?\s*)?"
        rf"(?P<each>{_ONE_EACH}(?:{_NEXT}{_ONE_EACH})+)",
        _write_each,
    ),
    Form(rf"(?:write|save|put)\s+(?P<content>{LITERAL})\s+(?:to|in|into)\s+(?P<paths>{MANY})", _write_same),
    Form(rf"(?:append|add)\s+to\s+(?P<line>(?!))?{_TO_FILE}\s*[.:]?\s*(?P<content>{LITERAL})", _append),
    Form(
        rf"(?:edit|change|in)\s+{ART}{FILE}(?P<path>{ONE})\s*[,:]?\s+(?:and\s+|to\s+|by\s+)?(?:replac(?:e|ing)|chang(?:e|ing))"
        rf"\s+(?P<all>all\s+|every\s+|each\s+)?(?:occurrences?\s+of\s+)?(?P<old>{LITERAL})\s+(?:with|to|by|into)\s+(?P<new>{LITERAL})",
        _replace,
    ),
    Form(
        r"(?:replace|change|substitute|rename)\s+(?P<all>all\s+|every\s+|each\s+)?(?:the\s+)?(?:occurrences?\s+of\s+)?"
        rf"(?:(?:text|word|string|line)\s+)?(?P<old>{ONE})\s+(?:with|to|by|into)\s+(?P<new>{ONE})(?:\s+in\s+{_TO_FILE})?",
        _replace,
    ),
    Form(
        rf"(?:write|save|put|store)\s+(?:the\s+following\s+)?(?:(?:text|contents?|lines?|code)\s+)?(?:to|in|into)\s+{_TO_FILE}"
        rf"\s*[.:,]?\s*(?P<content>{LITERAL})",
        _write,
    ),
    Form(
        rf"(?:create|make|write|add|produce|save|put)\s+{ART}{FILE}(?P<path>{ONE})\s*,?\s*{_WITH}"
        rf"(?P<content>{LITERAL}(?=\s+in(?:side)?\s+it$)|.+)(?:\s+in(?:side)?\s+it)?",
        _write,
    ),
    Form(rf"(?:create|make|write|add|save)\s+{ART}{FILE}(?P<path>{ONE})\s*[.:]?\s*(?P<content>{FENCE})", _write),
    Form(
        rf"(?:write|save|put|store|output|print)\s+(?:out\s+|down\s+)?(?P<content>.+?)\s+(?:to|in|into|as|inside)\s+{_TO_FILE}",
        _write,
    ),
    Form(
        rf"(?:copy|duplicate)\s+(?:the\s+)?(?:contents?\s+of\s+)?(?:file\s+)?(?P<source>{ONE})\s+(?:to|into|as)\s+{_TO_FILE}",
        _copy,
    ),
    Form(rf"(?:move|rename)\s+(?:the\s+)?(?:file\s+)?(?P<source>{ONE})\s+(?:to|into|as)\s+{_TO_FILE}", _move),
    Form(rf"(?:delete|remove)\s+(?:the\s+)?(?:files?\s+)?(?P<paths>{MANY})", _delete),
)

READ: Final = (
    Form(
        r"(?:read|show|open|print|cat|display|view|get)\s+(?:me\s+)?(?P<art>(?:the|my|our)\s+)?"
        r"(?:(?:(?:full|whole|entire)\s+)?(?:contents?|text)\s+of\s+)?(?:the\s+)?(?:files?\s+)?"
        rf"(?P<paths>{MANY})(?:\s+files?)?(?:\s+(?:out|aloud|to\s+me))?",
        _read,
    ),
    Form(
        r"(?:(?:show|tell)\s+me\s+)?what(?:'s|\s+is|\s+are)\s+(?:the\s+contents?\s+of|written\s+in|in|inside|contained\s+in)"
        rf"\s+(?P<art>the\s+)?(?:file\s+)?(?P<paths>{ONE})",
        _read,
    ),
    Form(
        r"(?:(?:show|tell)\s+me\s+)?what\s+(?:does\s+)?(?P<art>the\s+)?(?:file\s+)?"
        rf"(?P<paths>{ONE})\s+(?:says?|contains?|holds?|reads?)",
        _read,
    ),
)
