"""Forms that run programs, ask a person, remember, and speak."""

from __future__ import annotations

import re
from typing import Final

from kernel.adapters.providers.planner.draft import Built, Draft, Form
from kernel.adapters.providers.planner.mask import LITERAL
from kernel.adapters.providers.planner.program import literal
from kernel.adapters.providers.planner.toolbox import Unfit

_VAGUE: Final = re.compile(r"(?:the|a|an|my|our|all|every|each|some|it|that|this|them|these|those)\b", re.IGNORECASE)
_THEIRS: Final = {"my": "your", "me": "you", "i": "you", "mine": "yours", "our": "your", "we": "you"}


_SEVERAL: Final = re.compile(rf"{LITERAL}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+){LITERAL})*", re.IGNORECASE)
_TICK: Final = LITERAL.replace("[qtf]", "[tf]")


def _run(match: re.Match[str], draft: Draft) -> Built:
    written = match["command"].strip()
    if (several := _SEVERAL.fullmatch(written)) is not None:
        for one in re.findall(LITERAL, several[0]):
            draft.run(draft.operand(one).strip())
        return Built(draft.opened(), runs=True)
    if re.search(_TICK, written):
        raise Unfit("part of the command stands in backticks and part outside; put all of it in")
    quotation = draft.quotation(written)
    if quotation is None and _VAGUE.match(written):
        raise Unfit("the command is not given word for word; put it in backticks")
    draft.run(quotation.text.strip() if quotation else draft.masked.plain(written))
    return Built(draft.opened(), runs=True)


def _ask(match: re.Match[str], draft: Draft) -> Built:
    written, how = match["what"].strip(), (match["how"] or "").lower()
    quotation = draft.quotation(written)
    if quotation is not None:
        question = quotation.text
    else:
        plain = re.sub(r"\w+", lambda word: _THEIRS.get(word[0].lower(), word[0]), draft.masked.plain(written))
        question = _question(how, plain)
    draft.use("ask", question=question)
    return Built(draft.opened())


def _question(how: str, plain: str) -> str:
    if how == "for":
        return f"Please give {plain}."
    if (
        how in ("whether", "if", "to")
        and (to_do := plain.removeprefix("to ") if how != "to" else "") != plain
        and to_do
    ):
        return f"Should I {to_do}?"
    return f"{plain[:1].upper()}{plain[1:]}?"


def _remember(match: re.Match[str], draft: Draft) -> Built:
    quotation = draft.quotation(match["what"])
    draft.use("remember", text=quotation.text if quotation else draft.masked.plain(match["what"]))
    return Built(draft.opened())


def _answer(match: re.Match[str], draft: Draft) -> Built:
    return Built(shows=draft.content(match["what"]), actions=draft.opened(), answer=True)


def _say(match: re.Match[str], draft: Draft) -> Built:
    return Built(shows=literal(draft.masked.plain(match["what"].strip())), answer=True)


def _aside(_match: re.Match[str], _draft: Draft) -> Built:
    return Built(aside=True)


def _beyond(match: re.Match[str], _draft: Draft) -> Built:
    if match["verb"].lower() in ("write", "create"):
        raise Unfit("the file and its text are not given word for word; write them as in the examples, one file each")
    raise Unfit(f"to {match['verb'].lower()} takes understanding, so a language model; I only follow instructions")


TALK: Final[tuple[Form, ...]] = (
    Form(
        rf"(?:say|answer|reply|respond|report|print|tell\s+me)(?:\s+(?:with|by\s+saying|back))?\s*:?\s*(?P<what>{LITERAL})",
        _answer,
    ),
    Form(r"(?:answer|reply|respond)\s+with\s+(?P<what>.+)", _answer),
    Form(r"say\s+(?P<what>.+)", _say),
)

ACT: Final[tuple[Form, ...]] = (
    Form(
        r"(?:run|execute|exec|call|start|invoke|do)\s+(?:the\s+)?(?:following\s+)?(?:(?:shell|bash)\s+)?"
        rf"(?:(?:command|script|program|code)s?\s*)?[.:]?\s*(?P<command>{_SEVERAL.pattern})(?:\s+in\s+(?:the\s+|a\s+)?(?:shell|terminal))?",
        _run,
    ),
    Form(r"(?:run|execute|exec)\s+(?:the\s+(?:shell\s+)?command\s+)?(?P<command>.+)", _run),
    Form(
        r"ask\s+(?:me|us|(?:the\s+)?(?:user|operator|person)|them)\b\s*(?P<how>for|about|whether|if|to|:|,)?\s*(?P<what>.+)",
        _ask,
    ),
    Form(r"(?:remember|memori[sz]e)\s+(?:that\s+|this\s*:?\s+)?(?P<what>.+)", _remember),
)

ASIDE: Final[tuple[Form, ...]] = (
    Form(
        r"(?:report|show|print|display|tell|give|return|present)(?:\s+me)?(?:\s+back)?\s+"
        r"(?:it|that|them|(?:what|everything)\b.*"
        r"|(?:(?:the|its|their|all)\s+)?(?:final\s+)?"
        r"(?:results?|outputs?|findings|answers?|contents?|list(?:ing)?|matches|lines?|count|numbers?))"
        r"(?:\s+(?:to\s+me|back|here|of\s+(?:it|that|them|this|these|both|all|(?:the\s+)?(?:command|search|run|program))))?",
        _aside,
    ),
    Form(r"(?:do\s+not|don't|never|avoid|without|only|ensure|be\s+careful|(?:you\s+)?must\s+not|not?)\b.*", _aside),
)

BEYOND: Final[tuple[Form, ...]] = (
    Form(
        r"(?P<verb>summari[sz]e|translate|explain|analy[sz]e|describe|review|refactor|fix|improve|rewrite|implement|design"
        r"|think|decide|compare|debug|investigate|draft|compose|generate|write|create|build|develop|plan|check|verify|test)\b.*",
        _beyond,
    ),
)
