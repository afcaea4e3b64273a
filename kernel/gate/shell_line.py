"""Reading a shell line well enough to name the programs in it.

Guarantees: for a line without computed names (variables, globs, `eval` of data) every simple
command in it is found: after `;`, `&&`, newlines, in subshells, substitutions (also inside double
quotes), process substitutions and here-documents; quotes, backslashes, `$'…'`, `$IFS` and braces
do not hide a word. A line that does not parse raises `Unreadable`.

This is a hint for people and policy, never the boundary: a shell can compute any name. The
sandbox is the boundary.

Source: POSIX.1-2024 XCU 2.2 to 2.10; bash(1), QUOTING and EXPANSION.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

DEPTH_MAX: Final = 12

_KEYWORDS: Final = frozenset(
    {"if", "then", "else", "elif", "fi", "do", "done", "while", "until", "esac", "{", "}", "!", "time", "coproc"}
)
_OF_TIME: Final = "-p"
"""The one option of the keyword `time`; no program is called so."""
_HEADS: Final = frozenset({"for", "select", "case", "function", "in"})
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^\]]*\])?\+?=")
_DESCRIPTOR: Final = re.compile(r"\d+|\{[A-Za-z_]\w*\}")
_BRACES: Final = re.compile(r"(?<!\$)\{([^{}]*,[^{}]*)\}")
_BRACED_WORDS_MAX: Final = 256
_FIELD_SPLIT: Final = re.compile(r"\$IFS\b|\$\{IFS[^}]*\}")
_SPACE: Final = " \t\r"
_BREAKS: Final = ";&|\n"


class Unreadable(ValueError):
    """The line does not parse: a quote or bracket is left open, or it nests too deep."""


@dataclass(slots=True)
class SimpleCommand:
    """Words with their quotes removed, without leading assignments and keywords."""

    words: list[str] = field(default_factory=list[str])
    redirects: list[str] = field(default_factory=list[str])
    documents: list[str] = field(default_factory=list[str])
    """Bodies of here-documents and here-strings: commands, where the program is a shell."""


def read_line(line: str, depth: int = 0) -> list[SimpleCommand]:
    """Every simple command of the line, nested ones included. Raises: Unreadable."""
    if depth > DEPTH_MAX:
        raise Unreadable("the line nests too deep")
    reader = _Reader(_FIELD_SPLIT.sub(" ", line.replace("\\\n", "")), depth)
    reader.run("")
    return [command for command in reader.found if command.words or command.redirects]


class _Reader:
    """One pass over the text; substitutions inside it are read by readers of their own."""

    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self.depth = depth
        self.at = 0
        self.found: list[SimpleCommand] = []
        self.command = SimpleCommand()
        self.word: list[str] | None = None
        self.quoted = False
        self.awaits: str = ""
        self.documents: list[tuple[str, bool, SimpleCommand]] = []
        """Delimiter, whether substitutions in the body are carried out, and the command that reads it."""

    def run(self, closing: str) -> None:
        """Read to the end, or to `closing` at this level."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == closing:
                self._end_command()
                return
            self.at += 1
            self._take(char)
        if closing:
            raise Unreadable(f"a {closing} is missing")
        self._end_command()

    def _take(self, char: str) -> None:
        if char in _SPACE:
            self._end_word()
        elif char == "#" and self.word is None:
            self._skip_comment()
        elif char in _BREAKS:
            self._end_command()
            if char == "\n":
                self._read_documents()
        elif char in "<>":
            self._redirect(char)
        elif char == "(":
            self._group()
        elif char == ")":
            self._end_command()
        else:
            self._take_in_word(char)

    def _take_in_word(self, char: str) -> None:
        if self.word is None:
            self.word = []
        if char == "\\":
            self.word.append(self.text[self.at : self.at + 1])
            self.at += 1
            self.quoted = True
        elif char == "'":
            self.word.append(self._until("'"))
            self.quoted = True
        elif char == '"':
            self._double_quoted()
            self.quoted = True
        elif char == "`":
            self._nested(self._until("`"))
        elif char == "$":
            self._dollar()
        else:
            self.word.append(char)

    def _double_quoted(self, closing: str = '"') -> None:
        """Text in which only substitutions are commands; to the end, where nothing closes it."""
        assert self.word is not None
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == closing:
                return
            if char == "\\":
                self.word.append(self.text[self.at : self.at + 1])
                self.at += 1
            elif char == "`":
                self._nested(self._until("`"))
            elif char == "$" and self.text[self.at : self.at + 1] == "(":
                self._dollar()
            else:
                self.word.append(char)
        if closing:
            raise Unreadable(f"a {closing} is missing")

    def _dollar(self) -> None:
        """`$(…)` is read as commands, `$'…'` and `$"…"` as text, the rest stays as written."""
        assert self.word is not None
        follows = self.text[self.at : self.at + 1]
        if self.text.startswith("((", self.at) and self._arithmetic():
            self.word.append("$(())")
        elif follows == "(":
            self.at += 1
            self._group_into_word()
        elif follows == "'":
            self.at += 1
            self.word.append(_ansi(self._until_unescaped_quote()))
            self.quoted = True
        elif follows == "{":
            self._parameter()
        elif follows != '"':
            self.word.append("$")

    def _parameter(self) -> None:
        """`${x:-…}`, with what is substituted in it."""
        assert self.word is not None
        self.at += 1
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise Unreadable("the line nests too deep")
        self.word.append("${")
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == "}":
                self.word.append("}")
                self.depth -= 1
                return
            self._take_in_word(char)
        raise Unreadable("a } is missing")

    def _arithmetic(self) -> bool:
        """Step over `$((…))`, unless a substitution stands in it."""
        end = self.text.find("))", self.at)
        inside = self.text[self.at : end]
        if end < 0 or "$(" in inside or "`" in inside:
            return False
        self.at = end + 2
        return True

    def _group_into_word(self) -> None:
        assert self.word is not None
        self._read_group()
        self.word.append("$()")

    def _group(self) -> None:
        """A subshell, a process substitution, or the `()` of a function: its commands are read as others."""
        self._end_command()
        self._read_group()

    def _read_group(self) -> None:
        inner = _Reader(self.text, self.depth + 1)
        if inner.depth > DEPTH_MAX:
            raise Unreadable("the line nests too deep")
        inner.at = self.at
        inner.run(")")
        self.at = inner.at + 1
        self.found.extend(inner.found)

    def _nested(self, text: str) -> None:
        assert self.word is not None
        self.found.extend(read_line(text.replace("\\`", "`"), self.depth + 1))
        self.word.append("$()")

    def _redirect(self, char: str) -> None:
        if self.word is not None and not self.quoted and _DESCRIPTOR.fullmatch("".join(self.word)):
            self.word = None  # the number of a descriptor, or the variable that gets it
        self._end_word()
        operator = char
        while self.text[self.at : self.at + 1] in {"<", ">", "&", "|", "-"} and len(operator) < len("<<-"):
            operator += self.text[self.at]
            self.at += 1
        if self.text[self.at : self.at + 1] == "(":
            return  # process substitution: the bracket opens its commands
        self.awaits = operator

    def _end_word(self) -> None:
        if self.word is None:
            return
        text, quoted = "".join(self.word), self.quoted
        self.word, self.quoted = None, False
        if self.awaits:
            self._redirected_to(text, quoted=quoted)
        elif quoted:
            self.command.words.append(text)
        elif text == "{" and self.command.words[:1] == ["function"]:
            self.command.words.clear()
        elif self.command.words or not (text in _KEYWORDS or text == _OF_TIME or _ASSIGNMENT.match(text)):
            self.command.words.extend(_braces(text))

    def _redirected_to(self, text: str, *, quoted: bool) -> None:
        operator, self.awaits = self.awaits, ""
        if operator in {"<<", "<<-"}:
            self.documents.append((text, not quoted, self.command))
        elif operator == "<<<":
            self.command.documents.append(text)
        else:
            self.command.redirects.append(text)

    def _end_command(self) -> None:
        self._end_word()
        self.awaits = ""
        if self.command.words and self.command.words[0] in _HEADS:
            self.command.words.clear()
        self.found.append(self.command)
        self.command = SimpleCommand()

    def _read_documents(self) -> None:
        for delimiter, expanded, command in self.documents:
            lines: list[str] = []
            while self.at < len(self.text):
                line, _, _ = self.text[self.at :].partition("\n")
                self.at += len(line) + 1
                if line.strip() == delimiter:
                    break
                lines.append(line)
            body = "\n".join(lines)
            command.documents.append(body)
            if expanded:
                self._substituted(body)
        self.documents.clear()

    def _substituted(self, text: str) -> None:
        """The commands that a here-document's text is made with."""
        inner = _Reader(text, self.depth + 1)
        if inner.depth > DEPTH_MAX:
            raise Unreadable("the line nests too deep")
        inner.word = []
        inner._double_quoted("")
        self.found.extend(inner.found)

    def _skip_comment(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _until(self, closing: str) -> str:
        end = self.text.find(closing, self.at)
        if end < 0:
            raise Unreadable(f"a {closing} is missing")
        text, self.at = self.text[self.at : end], end + 1
        return text

    def _until_unescaped_quote(self) -> str:
        found = re.compile(r"((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.text, self.at)
        if found is None:
            raise Unreadable("a ' is missing")
        self.at = found.end()
        return found.group(1)


def _ansi(text: str) -> str:
    """The escapes of `$'…'`: a hexadecimal 72 is an r."""
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError:
        return text


def _braces(text: str) -> list[str]:
    """`{rm,-rf,/}` is three words, `su{do,}` two; braces without a comma stay."""
    waiting, words = [text], list[str]()
    while waiting:
        word = waiting.pop()
        found = _BRACES.search(word)
        if found is None:
            words += [word] if word else []
        else:
            pieces = [word[: found.start()] + piece + word[found.end() :] for piece in found[1].split(",")]
            waiting.extend(reversed(pieces))
        if len(waiting) + len(words) > _BRACED_WORDS_MAX:
            raise Unreadable("its braces make too many words")
    return words
