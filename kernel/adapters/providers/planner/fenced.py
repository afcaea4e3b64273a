"""A fenced plan: tool calls written out as JSON, for runbooks and exact tests.

    ```plan
    [{"tool": "read", "args": {"path": "a.txt"}},
     {"parallel": [{"tool": "ls", "args": {}}, {"tool": "ls", "args": {"path": "src"}}]},
     {"tool": "write", "args": {"path": "b.txt", "content": "{{1.text}}"}},
     {"answer": "copied {{1.lines}} lines"}]
    ```

Entries are numbered from 1, a parallel entry's calls `2.1`, `2.2`; an entry with an `id` goes by that
too. `{{1.text}}`, `{{1.lines}}`, `{{1.words}}`, `{{1.bytes}}`, `{{1.json.key.0}}` stand for earlier
results, anywhere in a string; alone in a string, `json` keeps its type. A plan with one fault in it
is not begun.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, get_args

from kernel.adapters.providers.planner.draft import Built, Draft
from kernel.adapters.providers.planner.program import Action, Part, Ref, Template, Value, literal
from kernel.adapters.providers.planner.toolbox import Unfit

_REFERENCE: Final = re.compile(r"\{\{\s*([\w.\-]+)\s*\}\}")
_PARTS: Final = frozenset(get_args(Part))
_CALL_KEYS: Final = frozenset(("tool", "args", "id", "note"))


def is_plan(lang: str, text: str) -> bool:
    """Whether a fenced block is meant as a plan: it says so, or it is JSON that has the shape of one."""
    if lang == "plan":
        return True
    if lang not in ("json", ""):
        return False
    try:
        entries = _entries(json.loads(text))
    except (ValueError, Unfit):
        return False
    return bool(entries) and all({"tool", "parallel", "answer"} & entry.keys() for entry in entries)


def read_plan(text: str, draft: Draft) -> list[Built]:
    """One `Built` an entry. Raises: Unfit, naming the entry that is at fault."""
    try:
        entries = _entries(json.loads(text))
    except ValueError as error:
        raise Unfit(f"the plan is not JSON: {error}") from error
    names: dict[str, int] = {}
    built: list[Built] = []
    for number, entry in enumerate(entries, start=1):
        try:
            built.append(_entry(entry, str(number), names, draft))
        except Unfit as unfit:
            raise Unfit(f"entry {number} of the plan: {unfit}; none of it was done") from unfit
    return built


def _entries(value: object) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        value = fields.get("steps", [fields])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in cast("list[object]", value)):
        raise Unfit('a plan is a list of objects such as {"tool": "read", "args": {"path": "a.txt"}}')
    return cast("list[dict[str, Any]]", value)


def _entry(entry: dict[str, Any], number: str, names: dict[str, int], draft: Draft) -> Built:
    if "parallel" in entry:
        calls = _entries(entry["parallel"])
        actions = tuple(
            _call(call, f"{number}.{place}", names, draft, together=True) for place, call in enumerate(calls, start=1)
        )
        return Built(actions, **_touched(actions))
    if "answer" in entry:
        answer = _value(entry["answer"], names)
        if answer is None or isinstance(answer, str):
            answer = literal("null" if answer is None else answer)
        return Built(shows=answer, answer=True)
    action = _call(entry, number, names, draft, together=False)
    return Built((action,), **_touched((action,)))


def _call(entry: dict[str, Any], number: str, names: dict[str, int], draft: Draft, *, together: bool) -> Action:
    unknown = sorted(entry.keys() - _CALL_KEYS)
    if unknown:
        raise Unfit(f"it has no use for {', '.join(unknown)}; it takes {', '.join(sorted(_CALL_KEYS))}")
    args = entry.get("args", {})
    if not isinstance(entry.get("tool"), str) or not isinstance(args, dict):
        raise Unfit('it needs a "tool" (text) and "args" (an object)')
    bound = cast("Mapping[str, Value]", _value(cast("object", args), names))
    action = draft.tool(entry["tool"], bound, together=together)
    for name in (number, entry.get("id")):
        if isinstance(name, str):
            names[name] = action.number
    return action


def _touched(actions: Sequence[Action]) -> dict[str, Any]:
    """Which files they touch, as far as their arguments say, for what depends on what."""
    reads, makes = set[str](), set[str]()
    for action in actions:
        path = action.args.get("path")
        if isinstance(path, str):
            (makes if action.role in ("write", "edit") else reads).add(path)
    return {
        "reads": frozenset(reads),
        "makes": frozenset(makes),
        "runs": any(action.role in ("run", "") for action in actions),
    }


def _value(value: object, names: Mapping[str, int]) -> Value:
    if isinstance(value, str):
        return _text(value, names) if _REFERENCE.search(value) else value
    if isinstance(value, dict):
        return {key: _value(inner, names) for key, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_value(inner, names) for inner in cast("list[object]", value)]
    return cast("Value", value)


def _text(text: str, names: Mapping[str, int]) -> Template:
    parts: list[str | Ref] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        parts += [text[end : match.start()], _reference(match[1], names)]
        end = match.end()
    parts.append(text[end:])
    return Template(tuple(part for part in parts if part != ""))


def _reference(written: str, names: Mapping[str, int]) -> Ref:
    name = max((one for one in names if written == one or written.startswith(f"{one}.")), key=len, default=None)
    if name is None:
        raise Unfit(f"{{{{{written}}}}} names no earlier entry")
    part, *path = (written[len(name) + 1 :] or "text").split(".")
    if part not in _PARTS or (path and part != "json"):
        raise Unfit(f"{{{{{written}}}}} asks for no part of a result; use {', '.join(sorted(_PARTS))}")
    return Ref(names[name], cast("Part", part), tuple(path))
