"""Instructions as text, in; a program, out.

Guarantees: a pure function of its arguments. Every sentence is a step, also one that was not
understood: nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kernel.adapters.providers.planner.clauses import Clause, clauses, is_heading, split_fence
from kernel.adapters.providers.planner.draft import Built, Draft
from kernel.adapters.providers.planner.fenced import is_plan, read_plan
from kernel.adapters.providers.planner.forms import FORMS
from kernel.adapters.providers.planner.mask import mask
from kernel.adapters.providers.planner.program import Action, Program, Step, Template
from kernel.adapters.providers.planner.toolbox import Toolbox, Unfit

NOT_UNDERSTOOD = "I do not understand this instruction"
_PLAN_ENTRIES_MAX = 10_000
_SHOWN_CHARS_MAX = 80
_UNCLOSED = "a fenced block in it has no end, so nothing of it was done"


def understand(instructions: Sequence[str], toolbox: Toolbox) -> Program:
    """The program of all `instructions`, in order: the goal, then what was said later."""
    steps: list[Step] = []
    next_action = 0
    it: Template | None = None
    it_path = ""
    for turn, text in enumerate(instructions):
        masked = mask(text)
        if masked.unclosed:
            steps.append(Step(text.strip(), problem=_UNCLOSED, turn=turn))
            continue
        draft = Draft(toolbox, masked, next_action, it, it_path)
        group = steps[-1].group if steps else 0
        for clause in clauses(masked.text):
            found = list(_steps(clause, draft, group))
            if any(step.problem for step in found):
                draft.lose_track()
            steps.extend(replace(step, turn=turn) for step in found)
        next_action, it, it_path = draft.next_action, draft.it, draft.it_path
    return Program(tuple(steps))


def _steps(clause: Clause, draft: Draft, group: int) -> Iterator[Step]:
    """A clause is one step; a fenced plan is one for each entry; a heading is none."""
    group += clause.group
    fence = draft.quotation(clause.text)
    if fence is not None and fence.kind == "fence" and is_plan(fence.lang, fence.text):
        yield from _plan_steps(fence.text, draft, group, clause.linked)
        return
    split = split_fence(clause.text)
    tail = draft.quotation(split[1]) if split else None
    if not (split and tail and tail.lang == "plan"):
        step = _step(clause.text, draft, group, clause.linked)
        if not step.problem or not (split and tail and is_plan(tail.lang, tail.text)):
            if not step.problem or not is_heading(clause.text):
                yield step
            return
    if not is_heading(split[0]):
        yield _step(split[0].rstrip(".:").rstrip(), draft, group, clause.linked)
    yield from _plan_steps(tail.text, draft, group, clause.linked)


def _step(text: str, draft: Draft, group: int, linked: bool) -> Step:
    source = draft.masked.plain(text)
    problem = NOT_UNDERSTOOD
    for one in FORMS:
        match = one.match(text)
        if match is None:
            continue
        draft.begin()
        try:
            built = one.build(match, draft)
        except Unfit as unfit:
            # A later form may still fit; of those that fit almost, the first knew best why.
            problem = str(unfit) if problem == NOT_UNDERSTOOD else problem
            continue
        if built is not None:
            draft.settle(built)
            return _finished(source, built, group, linked)
    draft.begin()
    return Step(source, group=group, linked=linked, problem=problem)


def _plan_steps(text: str, draft: Draft, group: int, linked: bool) -> Iterator[Step]:
    draft.begin()
    try:
        built = read_plan(text, draft)
    except Unfit as unfit:
        draft.begin()
        yield Step("the plan", group=group, linked=linked, problem=str(unfit))
        return
    draft.settle(Built())
    for number, one in enumerate(built, start=1):
        # Each entry is a group of its own, below zero: what runs together is said by the plan alone.
        yield _finished(_describe(one), one, -(group * _PLAN_ENTRIES_MAX + number), linked)


def _describe(built: Built) -> str:
    if built.answer:
        return "answer"
    return ", ".join(_call(action) for action in built.actions)


def _call(action: Action) -> str:
    shown = [str(value) for value in action.args.values() if isinstance(value, str) and len(value) <= _SHOWN_CHARS_MAX]
    return " ".join((action.tool, *shown[:2]))


def _finished(source: str, built: Built, group: int, linked: bool) -> Step:
    return Step(
        source,
        built.actions,
        group,
        linked,
        aside=built.aside,
        shows=built.shows,
        answer=built.answer,
        reads=built.reads,
        makes=built.makes,
        runs=built.runs,
    )
