"""A program in the making: what forms build steps with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeAlias

from kernel.adapters.providers.planner.mask import LITERAL, Masked, Quotation
from kernel.adapters.providers.planner.program import Action, Ref, Template, Value, literal, plain_or, refs_in
from kernel.adapters.providers.planner.toolbox import ROLES, Toolbox, Unfit

ONE: Final = rf"(?:{LITERAL}|[^\s,;:\ue000]+)"
"""One operand: a quotation or a word."""
MANY: Final = rf"{ONE}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+)(?:the\s+)?(?:files?\s+)?{ONE})*"
ART: Final = r"(?:(?:the|a|an|my|our)\s+)?"
FILE: Final = (
    r"(?:(?:(?:new|text|empty|plain|python|markdown|json)\s+)*(?:file|script|document)s?\s+)?(?:(?:named|called)\s+)?"
)

_IT: Final = re.compile(
    r"it|that|this|them|these|those"
    r"|(?:(?:its|their|the|those|that|these)\s+)(?:contents?|text|results?|outputs?|answers?|repl(?:y|ies)|list(?:ing)?"
    r"|matches|files|names|count|number|page|body|response)",
    re.IGNORECASE,
)
_SAID: Final = re.compile(
    rf"(?:the\s+)?(?:following\s+)?(?:text|words?|lines?|string|sentence|phrase|number|message|code|contents?)"
    rf"\s*:?\s+(?P<text>{LITERAL}|.+)",
    re.IGNORECASE | re.DOTALL,
)
_OF: Final = re.compile(
    rf"(?:the\s+)?(?:contents?|text|body)\s+(?:of|from)\s+(?:the\s+)?(?:file\s+)?(?P<path>{ONE})", re.IGNORECASE
)
_OUTPUT_OF: Final = re.compile(
    rf"(?:the\s+)?(?:outputs?|results?)\s+of\s+(?:running\s+)?(?:the\s+command\s+)?(?P<command>{LITERAL})",
    re.IGNORECASE,
)
_NO_OPERAND: Final = re.compile(
    r"an?|the|its?|that|this|them|these|those|all|every|some|any|everything|something|anything|nothing|files?|folder"
    r"|directory|me|us|you|there|here|contents?|text|results?|outputs?|of|to|in|into|with|and|or|for|from|as|my|our"
    r"|their|your|what|which",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Built:
    """What a form makes of its clause; see the like-named fields of `Step`."""

    actions: tuple[Action, ...] = ()
    shows: Value = None
    answer: bool = False
    aside: bool = False
    reads: frozenset[str] = frozenset()
    makes: frozenset[str] = frozenset()
    runs: bool = False


@dataclass(slots=True)
class Draft:
    """The tools, the quotations, and what "it" means by now."""

    toolbox: Toolbox
    masked: Masked
    next_action: int = 0
    it: Template | None = None
    it_path: str = ""
    _open: list[Action] = field(default_factory=list[Action])

    def begin(self) -> None:
        """Forget the actions of a form that did not fit."""
        self.next_action -= len(self._open)
        self._open.clear()

    def lose_track(self) -> None:
        """An instruction was not understood: what comes next and says "it" means something unknown."""
        self.it, self.it_path = None, ""

    def settle(self, built: Built) -> None:
        """Keep what a form built; later instructions may mean it by "it"."""
        self._open.clear()
        if isinstance(built.shows, Template):
            self.it = built.shows
        elif built.actions:
            several = len(built.actions) > 1
            self.it = Template(tuple(Ref(action.number, line_end=several) for action in built.actions))
        paths = built.makes or built.reads
        if len(paths) == 1:
            self.it_path = next(iter(paths))

    def use(self, role: str, **args: Value) -> Action:
        """Raises: Unfit, where the tool is not offered."""
        tool, bound = self.toolbox.bind(role, args)
        return self._add(tool, bound, role)

    def run(self, line: str) -> Action:
        tool, bound = self.toolbox.command(line)
        return self._add(tool, bound, "run")

    def run_words(self, words: Sequence[str]) -> Action:
        tool, bound = self.toolbox.argv(words)
        return self._add(tool, bound, "run")

    def tool(self, tool: str, args: Mapping[str, Value], *, together: bool) -> Action:
        """A call written out in full. Raises: Unfit, where the tool is not offered."""
        if not self.toolbox.offers(tool):
            raise Unfit(f"this run offers no tool `{tool}`; it offers {', '.join(self.toolbox.names) or 'none'}")
        role = next((name for name, one in ROLES.items() if tool in one.tools), "")
        return self._add(tool, args, role, together=together)

    def operand(self, written: str) -> str:
        """A word or the content of a quotation. Raises: Unfit, where it is neither a name nor quoted."""
        quotation = self.masked.quotation(written)
        if quotation is not None:
            return quotation.text
        word = written.rstrip(".,") if len(written.strip(".")) else written
        if not word or _NO_OPERAND.fullmatch(word) or LITERAL_SIGN in word:
            raise Unfit(f'"{self.masked.plain(written)}" names nothing I can act on')
        return word

    def path(self, written: str) -> str:
        """A path, which "it" may stand for. Raises: Unfit."""
        if written.lower() != "it":
            return self.operand(written)
        if not self.it_path:
            raise Unfit('no file came before that "it" could mean')
        return self.it_path

    def operands(self, written: str) -> list[str]:
        return [self.operand(word) for word in OPERAND.findall(written) if word.lower() not in ("and", "the", "files")]

    def quotation(self, written: str) -> Quotation | None:
        return self.masked.quotation(written.strip())

    def content(self, written: str) -> Template:
        """What is to be written or said. Raises: Unfit, where it is not given word for word."""
        text = written.strip().rstrip(":").strip()
        if not text:
            raise Unfit("the text does not follow; put it in quotes or in a fenced block")
        quotation = self.masked.quotation(text)
        if quotation is not None:
            return literal(quotation.text)
        if _IT.fullmatch(text):
            if self.it is None:
                raise Unfit(f'nothing came before that "{text}" could mean')
            return self.it
        if (match := _OF.fullmatch(text)) is not None and match["path"].lower() not in ("it", "them"):
            return Template((Ref(self.use("read", path=self.operand(match["path"])).number),))
        if (match := _OUTPUT_OF.fullmatch(text)) is not None:
            return Template((Ref(self.run(self.operand(match["command"])).number),))
        if (match := _SAID.fullmatch(text)) is not None:
            inner = self.masked.quotation(match["text"])
            return literal(inner.text if inner else self.masked.plain(match["text"]))
        if not re.search(r"\s", text) and not _NO_OPERAND.fullmatch(text):
            return literal(self.masked.plain(text))
        raise Unfit("the text is not given word for word; put it in quotes or in a fenced block")

    def opened(self) -> tuple[Action, ...]:
        """The actions used since `begin`."""
        return tuple(self._open)

    def _add(self, tool: str, args: Mapping[str, Value], role: str, *, together: bool | None = None) -> Action:
        apart = ROLES[role].together if role else False
        together = apart if together is None else together
        settled = {name: plain_or(value) if isinstance(value, Template) else value for name, value in args.items()}
        action = Action(self.next_action, tool, settled, role, together, tuple(refs_in(args)))
        self.next_action += 1
        self._open.append(action)
        return action


LITERAL_SIGN: Final = "\ue000"
OPERAND: Final = re.compile(ONE)
BuildForm: TypeAlias = Callable[[re.Match[str], Draft], Built | None]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to say something. `build` returns None where the words fit and the sense does not."""

    pattern: str
    build: BuildForm

    def match(self, text: str) -> re.Match[str] | None:
        return _compiled(self.pattern).fullmatch(text)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # When first tried, not at import: all of them take 40 ms, and most runs need a few.
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)
