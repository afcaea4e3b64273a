"""Results of tools as values that later calls can use.

Guarantees: what is passed on is what the tool found, whole: text that the kernel or the tool cut
short, or dressed up, is refused rather than passed on as if it were the thing itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from kernel.adapters.providers.planner.program import Action, Ref, Template, Value
from kernel.adapters.providers.planner.toolbox import Unfit
from kernel.adapters.providers.planner.transcript import Made
from kernel.ports.provider import CUT_MARK

_READ_NOTE: Final = re.compile(r"\[(?:lines? \d+ .*|some bytes are not UTF-8.*)\]\n\Z")
_RUN_SILENT: Final = "[no output, exit code 0]\n"
_RUN_CUT: Final = re.compile(r"^\[output cut\]\n\Z", re.MULTILINE)
_PAGE_HEAD: Final = re.compile(r"https?://\S+ \(\d{3}, ")
_PAGE_CUT: Final = re.compile(r"\n\[(?:characters \d+ to \d+ of \d+;.*|the page is longer than .*)\]\Z")


def render(value: Value, made: Mapping[int, tuple[Action, Made]]) -> Any:
    """`value` with its references filled in. Raises: Unfit, where one cannot be."""
    if isinstance(value, Template):
        return _template(value, made)
    if isinstance(value, Mapping):
        return {key: render(inner, made) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [render(inner, made) for inner in value]
    return value


def shown(value: Value, made: Mapping[int, tuple[Action, Made]]) -> str:
    """What a step gives, as text: JSON where it is more than text. Raises: Unfit."""
    if isinstance(value, Template):
        return text_of(value, made)
    return json.dumps(render(value, made), ensure_ascii=False)


def text_of(template: Template, made: Mapping[int, tuple[Action, Made]]) -> str:
    """Raises: Unfit."""
    return "".join(_as_text(part, made) for part in template.parts)


def _template(template: Template, made: Mapping[int, tuple[Action, Made]]) -> Any:
    if len(template.parts) == 1:
        part = template.parts[0]
        if isinstance(part, Ref) and part.part == "json":
            return _json(part, *made[part.action])
    return text_of(template, made)


def _as_text(part: str | Ref, made: Mapping[int, tuple[Action, Made]]) -> str:
    if isinstance(part, str):
        return part
    action, result = made[part.action]
    if part.part == "json":
        value = _json(part, action, result)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = payload(action, result)
    match part.part:
        case "text":
            return text + "\n" if part.line_end and text and not text.endswith("\n") else text
        case "lines":
            return str(len(text.splitlines()))
        case "words":
            return str(len(text.split()))
        case "characters":
            return str(len(text))
        case "bytes":
            return str(len(text.encode()))


def payload(action: Action, result: Made) -> str:
    """The text a tool found. Raises: Unfit, where it is not whole."""
    if CUT_MARK in result.text:
        raise Unfit(f"the result of {action.tool} is too long: only its beginning and end are known to me")
    if action.role == "run":
        if _RUN_CUT.search(result.text):
            raise Unfit("the program printed more than was kept")
        return "" if result.text == _RUN_SILENT else result.text
    if action.role == "fetch":
        return _page(result.text)
    if action.role != "read":
        return result.text
    path = action.args.get("path")
    if result.text == f"{path} is empty":
        return ""
    if result.text.startswith(f"{path} is ") and result.text.endswith(": not shown as text"):
        raise Unfit(f"{path} is not text")
    if _READ_NOTE.search(result.text):
        raise Unfit(f"{path} is too long or not clean text: only a part of it is known to me")
    return result.text


def _page(text: str) -> str:
    """What a fetched page says, without the line that says where it came from."""
    head, gap, body = text.partition("\n\n")
    if not gap or not _PAGE_HEAD.match(head):
        return text
    if _PAGE_CUT.search(body):
        raise Unfit("the page is too long: only a part of it is known to me")
    return body


def _json(ref: Ref, action: Action, result: Made) -> Any:
    try:
        value: Any = json.loads(payload(action, result))
        for key in ref.path:
            value = cast("list[Any]", value)[int(key)] if isinstance(value, list) else value[key]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        where = ".".join(("json", *ref.path))
        raise Unfit(f"the result of {action.tool} has no {where}") from error
    return value
