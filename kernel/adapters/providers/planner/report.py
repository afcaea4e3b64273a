"""The final text: each instruction with its result, or with the reason why it has none.

Guarantees: says what was done, what was not, and why; results as the tools gave them, cut where they
are long, and marked so. Where the instructions give the answer themselves and all of them were
carried out, that answer stands alone, word for word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kernel.adapters.providers.planner.follow import Position, Progress
from kernel.adapters.providers.planner.forms import EXAMPLES
from kernel.adapters.providers.planner.program import Action
from kernel.adapters.providers.planner.transcript import Made

RESULT_CHARS_MAX: Final = 6_000
REPORT_CHARS_MAX: Final = 32_000

_STATES: Final = {"failed": "failed", "skipped": "not done", "not_understood": "not done"}
_FORMS: Final = (
    "I am the embedded planner: no language model, but a program that follows explicit instructions, in English. "
    "I understand, for example:\n" + "\n".join(f"- {example}" for example in EXAMPLES) + "\n"
    "- a fenced ```plan block with a JSON list of tool calls"
)
_NOTHING: Final = "There is no instruction in the goal, so nothing was done."


def report(position: Position, answered: int) -> str:
    """`answered`: how many of the instructions were reported on before; they are not repeated."""
    progress = [one for one in position.progress if one.step.turn >= answered]
    tried = [one for one in progress if one.state != "aside"]
    if not tried:
        return f"{_NOTHING}\n\n{_FORMS}"
    done = [one for one in tried if one.state == "done"]
    answers = [one.shown for one in tried if one.step.answer and one.shown is not None]
    if answers and len(done) == len(tried):
        return "\n".join(answers)
    parts = [f"Instructions carried out: {len(done)} of {len(tried)}."]
    room = REPORT_CHARS_MAX
    for number, one in enumerate(tried, start=1):
        text = f"{number}. {_headline(one)}"
        results = "\n".join(_results(one, position.made))
        if results:
            text += f"\n{results}" if len(results) <= room else "\n[left out here: the report would be too long]"
        room -= len(text)
        parts.append(text)
    if any(one.state == "not_understood" for one in tried):
        parts.append(_FORMS)
    return "\n\n".join(parts)


def _headline(one: Progress) -> str:
    source = _cut(" ".join(one.step.source.split()), 200)
    if one.state == "done":
        return f"{source}: done"
    return f"{source}: {_STATES[one.state]}: {_cut(one.why.strip(), 1_000)}"


def _results(one: Progress, made: Mapping[int, tuple[Action, Made]]) -> Iterator[str]:
    """What the step's calls gave, but for what only served another call of it, and its failure."""
    if one.shown is not None:
        yield _cut(one.shown.rstrip("\n"), RESULT_CHARS_MAX)
        return
    used = {ref.action for action in one.step.actions for ref in action.uses}
    several = len(one.step.actions) - len(used) > 1
    for action in one.step.actions:
        if action.number not in made or action.number in used:
            continue
        _, result = made[action.number]
        text = result.text.rstrip("\n")
        if result.failed and text.strip() == one.why.strip() and not several:
            continue
        label = f"[{_subject(action)}]\n" if several else ""
        yield label + _cut(text, RESULT_CHARS_MAX)


def _subject(action: Action) -> str:
    shown: Sequence[str] = [value for value in action.args.values() if isinstance(value, str)]
    return " ".join((action.tool, *shown[:1]))


def _cut(text: str, chars_max: int) -> str:
    if len(text) <= chars_max:
        return text
    return f"{text[:chars_max]}\n[… {len(text) - chars_max} more characters]"
