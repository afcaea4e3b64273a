"""Forms that look around: directories, file names, passages, the web."""

from __future__ import annotations

import re
from typing import Final

from kernel.adapters.providers.planner.draft import ART, FILE, MANY, ONE, Built, Draft, Form
from kernel.adapters.providers.planner.mask import LITERAL
from kernel.adapters.providers.planner.program import Ref, Template
from kernel.adapters.providers.planner.toolbox import Unfit

_HERE: Final = (
    r"here|(?:the\s+)?(?:(?:current|working|this|workspace)\s+)?(?:directory|folder)|(?:the\s+)?(?:workspace|project)"
)
_DIR: Final = rf"(?:the\s+)?(?:(?:directory|folder)\s+)?(?P<dir>{_HERE}|{ONE})(?:\s+(?:directory|folder))?"
_IN: Final = r"\s+(?:that\s+are\s+)?(?:of|in|inside|under|within|below|from|at|through|across)\s+"
_GLOB: Final = re.compile(r"[*?\[]")


def _dir(written: str | None, draft: Draft) -> str:
    if written is None or re.fullmatch(_HERE, written, re.IGNORECASE):
        return "."
    return draft.operand(written)


def _list(match: re.Match[str], draft: Draft) -> Built | None:
    path = _dir(match["dir"], draft)
    if "contents" in match[0].lower() and re.search(r"\w\.\w+$", path):
        return None  # The contents of something with an ending are a file's.
    draft.use("list", path=path)
    return Built(draft.opened(), reads=frozenset((path,)))


def _list_many(match: re.Match[str], draft: Draft) -> Built | None:
    paths = draft.operands(match["paths"])
    if any(_GLOB.search(path) for path in paths):
        return None
    for path in paths:
        draft.use("list", path=path)
    return Built(draft.opened(), reads=frozenset(paths))


def _find(match: re.Match[str], draft: Draft) -> Built | None:
    pattern = draft.operand(match["glob"])
    named = match["verb"].lower() in ("find", "locate") and re.search(r"\.\w+$", pattern)
    if not _GLOB.search(pattern) and not named:
        return None
    draft.use("find", pattern=pattern, **_where(match, draft))
    return Built(draft.opened())


def _grep(match: re.Match[str], draft: Draft) -> Built | None:
    if match["dir"] is not None and re.fullmatch(r"(?:the\s+)?(?:web|internet)", match["dir"], re.IGNORECASE):
        return None
    written = match["pattern"].strip()
    quotation = draft.quotation(written)
    pattern = quotation.text if quotation else draft.masked.plain(written)
    # Words mean themselves; an expression stands in backticks, as code does.
    as_text = re.escape(pattern) != pattern and not (quotation and quotation.kind == "tick")
    fixed = {"fixed": True} if as_text and draft.toolbox.takes("grep", "fixed") else {}
    draft.use("grep", pattern=pattern, **_where(match, draft), **fixed)
    return Built(draft.opened())


def _where(match: re.Match[str], draft: Draft) -> dict[str, str]:
    return {"path": _dir(match["dir"], draft)} if match["dir"] else {}


def _web(match: re.Match[str], draft: Draft) -> Built:
    query = draft.quotation(match["query"])
    draft.use("web", query=query.text if query else draft.masked.plain(match["query"]))
    return Built(draft.opened())


def _fetch(match: re.Match[str], draft: Draft) -> Built | None:
    url = draft.operand(match["url"])
    if not url.startswith(("http://", "https://")):
        return None
    if match[0].lower().startswith("download"):
        raise Unfit("a page's text can be fetched and written to a file, but not the file itself; say `fetch`")
    page = draft.use("fetch", url=url)
    if not match["path"]:
        return Built(draft.opened())
    path = draft.operand(match["path"])
    draft.use("write", path=path, content=Template((Ref(page.number),)))
    return Built(draft.opened(), makes=frozenset((path,)))


LOOK: Final[tuple[Form, ...]] = (
    Form(
        r"(?:fetch|download|get|open|retrieve|visit|read|show)\s+(?:me\s+)?(?:the\s+)?(?:(?:web\s*)?(?:page|site|url)\s+)?"
        rf"(?:contents?\s+of\s+)?(?:at\s+)?(?P<url>{LITERAL}|https?://\S+)(?:\s+(?:to|into|as)\s+{ART}{FILE}(?P<path>{ONE}))?",
        _fetch,
    ),
    Form(r"(?:search|look\s+on|query)\s+(?:the\s+)?(?:web|internet)\s+(?:for|about)\s+(?P<query>.+)", _web),
    Form(r"(?:do\s+a\s+)?web\s+search\s+(?:for\s+|about\s+)?(?P<query>.+)", _web),
    Form(r"(?:search|look)\s+(?:up\s+|for\s+)?(?P<query>.+?)\s+(?:on|in)\s+(?:the\s+)?(?:web|internet)", _web),
    Form(
        r"(?P<verb>find|locate|list|show)\s+(?:me\s+)?(?:all\s+|every\s+)?(?:of\s+)?(?:the\s+)?(?:files?\s+)?"
        rf"(?:(?:named|called|matching|like)\s+)?(?P<glob>{ONE})(?:\s+files?)?(?:{_IN}{_DIR})?",
        _find,
    ),
    Form(
        r"(?:search|grep|look|scan)\s+(?:for\s+)?(?:(?:the\s+)?(?:text|word|string|pattern)\s+)?"
        rf"(?P<pattern>{ONE})(?:{_IN}{_DIR})?",
        _grep,
    ),
    Form(rf"(?:search|grep|scan)\s+(?:for\s+)?(?P<pattern>[^\ue000]+?){_IN}{_DIR}", _grep),
    Form(
        rf"(?:search|grep|look|scan)\s+(?:(?:in|through|inside)\s+)?{_DIR}\s+for\s+"
        rf"(?:(?:the\s+)?(?:text|word|string|pattern)\s+)?(?P<pattern>{LITERAL}|\S.*)",
        _grep,
    ),
    Form(
        r"(?:find|locate|show|list)\s+(?:me\s+)?(?:all\s+|every\s+)?(?:the\s+)?"
        r"(?:(?:occurrences?\s+of|(?:lines?|files?|places?)\s+(?:with|containing|that\s+contains?|mentioning|where))\s+)?"
        rf"(?P<pattern>{LITERAL}){_IN}{_DIR}",
        _grep,
    ),
    Form(
        r"(?:find|locate)\s+(?:all\s+|every\s+)?(?:the\s+)?(?:occurrences?\s+of|lines?\s+(?:with|containing))\s+"
        rf"(?P<pattern>{ONE}){_IN}{_DIR}",
        _grep,
    ),
    Form(
        r"(?:list|ls|show|display)\s+(?:me\s+)?(?:all\s+)?(?:of\s+)?(?:the\s+)?"
        r"(?:files|contents?|entries|everything|directories|folders)(?:\s+and\s+(?:directories|folders|files))?"
        rf"(?:{_IN}{_DIR}|\s+(?P<here>here))?",
        _list,
    ),
    Form(rf"(?:list|ls)\s+(?P<dir>{_HERE})", _list),
    Form(r"(?:list|ls)(?P<dir>(?!))?", _list),
    Form(rf"(?:what|which)\s+(?:files?|entries)\s+(?:are|is)\s+(?:there\s+)?(?:in|inside|under)\s+{_DIR}", _list),
    Form(r"(?:what|which)\s+files?\s+(?:are|is)\s+(?:there|here)(?P<dir>(?!))?", _list),
    Form(rf"what(?:'s|\s+is)\s+(?:in|inside)\s+(?:the\s+)?(?:directory|folder)\s+(?P<dir>{ONE})", _list),
    Form(rf"what(?:'s|\s+is)\s+(?:in|inside)\s+(?:the\s+)?(?P<dir>{_HERE}|{ONE})(?:\s+(?:directory|folder))", _list),
    Form(
        rf"(?:list|ls)\s+(?:the\s+)?(?:(?:director(?:y|ies)|folders?)\s+)?(?P<paths>{MANY})(?:\s+(?:director(?:y|ies)|folders?))?",
        _list_many,
    ),
)
