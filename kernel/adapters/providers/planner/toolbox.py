"""The tools a run offers, by what the planner wants of them.

Guarantees: an action names a tool that is offered, with argument names that its schema declares; so
a renamed argument is followed, and a tool that is not there is said plainly rather than called.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from kernel.adapters.providers.planner.program import Value
from kernel.jsontypes import JsonObject
from kernel.ports.provider import ToolSpec

_INERT: Final = re.compile(r"'[^']*'|\"[^\"$`\\]*\"")
_SHELL_SIGNS: Final = re.compile(r"[|&;<>()$`*?\[\]{}~#\n\\]|^\s*\w+=")


class Unfit(Exception):
    """This instruction cannot be carried out; the text says why, for the report."""


@dataclass(frozen=True, slots=True)
class Role:
    """Names a tool of this role goes by, and those of each of its arguments; the first is ours."""

    tools: tuple[str, ...]
    args: Mapping[str, tuple[str, ...]]
    together: bool = True


_PATH: Final = ("path", "file_path", "file", "dir", "directory")
ROLES: Final[Mapping[str, Role]] = {
    "list": Role(("ls", "list", "list_dir"), {"path": _PATH}),
    "read": Role(("read", "read_file"), {"path": _PATH}),
    "find": Role(("find", "glob"), {"pattern": ("pattern", "glob", "name"), "path": _PATH}),
    "grep": Role(
        ("grep", "search_files"), {"pattern": ("pattern", "regex", "query"), "path": _PATH, "fixed": ("fixed",)}
    ),
    "fetch": Role(("web_fetch", "fetch"), {"url": ("url",)}),
    "web": Role(("web_search",), {"query": ("query", "q")}),
    "write": Role(("write", "write_file"), {"path": _PATH, "content": ("content", "text")}, together=False),
    "edit": Role(
        ("edit", "edit_file"),
        {
            "path": _PATH,
            "old": ("old", "old_text", "old_string"),
            "new": ("new", "new_text", "new_string"),
            "all": ("replace_all", "all"),
        },
        together=False,
    ),
    "ask": Role(("ask_user",), {"question": ("question", "text", "prompt")}, together=False),
    "remember": Role(
        ("remember", "memory_write", "memory_store"), {"text": ("text", "content", "fact")}, together=False
    ),
    "run": Role(("exec", "shell", "bash"), {}, together=False),
}


class Toolbox:
    """The offered tools."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def offers(self, name: str) -> bool:
        return name in self._tools

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._tools))

    def bind(self, role: str, wanted: Mapping[str, Value]) -> tuple[str, dict[str, Value]]:
        """A tool's name and its arguments. Raises: Unfit, where no offered tool does this."""
        spec = self._tool(role)
        properties = _properties(spec)
        bound: dict[str, Value] = {}
        for name, value in wanted.items():
            known = next((one for one in ROLES[role].args[name] if one in properties), None)
            if known is None:
                raise Unfit(f"the tool `{spec.name}` takes no argument for the {name}")
            bound[known] = value
        return spec.name, bound

    def takes(self, role: str, argument: str) -> bool:
        """Whether the tool of this role is offered and has this argument."""
        return any(argument in _properties(self._tools[name]) for name in ROLES[role].tools if name in self._tools)

    def command(self, line: str) -> tuple[str, dict[str, Value]]:
        """A command line as arguments of the tool that runs programs: a list of words where it is
        nothing but words, else a line for the shell. Raises: Unfit.
        """
        spec = self._tool("run")
        properties = _properties(spec)
        words = None if _SHELL_SIGNS.search(_INERT.sub("", line)) else _words(line)
        if words:
            return spec.name, self.argv(words)[1]
        if _type(properties, "shell") == "string":
            return spec.name, {"shell": line}
        text = next((one for one in ("command", "line", "script", "cmd") if _type(properties, one) == "string"), None)
        flag: dict[str, Value] = {"shell": True} if _type(properties, "shell") == "boolean" else {}
        if text:
            return spec.name, {text: line, **flag}
        if flag:
            return spec.name, {**self.argv([line])[1], **flag}
        raise Unfit(f"the tool `{spec.name}` runs plain commands only, and this one needs a shell")

    def argv(self, words: Sequence[str]) -> tuple[str, dict[str, Value]]:
        """A program and its arguments, no shell between. Raises: Unfit."""
        spec = self._tool("run")
        properties = _properties(spec)
        program = next((one for one in ("program", "binary") if _type(properties, one) == "string"), None)
        if program and _type(properties, "args") == "array":
            return spec.name, {program: words[0], "args": list(words[1:])}
        listed = next((one for one in ("argv", "command", "args", "cmd") if _type(properties, one) == "array"), None)
        if listed:
            return spec.name, {listed: list(words)}
        text = next((one for one in ("command", "shell", "line", "cmd") if _type(properties, one) == "string"), None)
        if text:
            return spec.name, {text: shlex.join(words)}
        raise Unfit(f"I do not know how the tool `{spec.name}` takes a command")

    def _tool(self, role: str) -> ToolSpec:
        names = ROLES[role].tools
        for name in names:
            if name in self._tools:
                return self._tools[name]
        raise Unfit(f"it needs the tool `{names[0]}`, which this run does not offer")


def _properties(spec: ToolSpec) -> Mapping[str, JsonObject]:
    return cast("Mapping[str, JsonObject]", spec.schema.get("properties") or {})


def _type(properties: Mapping[str, JsonObject], name: str) -> str:
    """The JSON type of a property, looking through `anyOf` with null; empty where it is not declared."""
    schema = properties.get(name)
    if schema is None:
        return ""
    kinds = [schema, *cast("Sequence[JsonObject]", schema.get("anyOf") or ())]
    return next((str(one["type"]) for one in kinds if one.get("type") not in (None, "null")), "")


def _words(line: str) -> list[str] | None:
    try:
        return shlex.split(line)
    except ValueError:
        return None
