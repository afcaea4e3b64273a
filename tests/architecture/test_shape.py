"""Every source keeps the house's size, names and manners; each rule is shown to bite on a bad example."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.architecture.tree import files, functions, python_files, text, tree

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
SCRIPT_LINES_MAX = 40
LONG_SCRIPTS = {"verify_export.py": 200}
"""A script that stands alone, because it must import nothing of ours."""
BANNED_NAMES = frozenset({"utils", "util", "helpers", "common", "misc", "manager", "base"})
IGNORES = re.compile(r"#\s*(noqa|pyright:\s*ignore|type:\s*ignore)(?P<codes>[^#]*)")
MARKS = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")

Rule = Callable[[Path, str, ast.Module], Iterable[str]]


def too_long(_path: Path, source: str, _module: ast.Module) -> Iterable[str]:
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{lines} lines, at most {FILE_LINES_MAX}"


def script_too_long(path: Path, source: str, _module: ast.Module) -> Iterable[str]:
    lines = source.count("\n")
    if path.parent == Path("scripts") and lines >= LONG_SCRIPTS.get(path.name, SCRIPT_LINES_MAX):
        yield f"{lines} lines; what it does belongs in a module"


def function_too_long(_path: Path, _source: str, module: ast.Module) -> Iterable[str]:
    for function in functions(module):
        lines = (function.end_lineno or 0) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def banned_name(path: Path, _source: str, _module: ast.Module) -> Iterable[str]:
    for part in (*path.parent.parts, path.stem):
        if part.strip("_") in BANNED_NAMES:
            yield f"{part!r} names no noun of the house"


def undocumented_module(_path: Path, source: str, module: ast.Module) -> Iterable[str]:
    if source.strip() and not ast.get_docstring(module):
        yield "no module docstring"


def undocumented_test(path: Path, _source: str, module: ast.Module) -> Iterable[str]:
    if path.name.startswith("test_"):
        for function in functions(module):
            if function.name.startswith("test_") and not ast.get_docstring(function):
                yield f"{function.name} does not say which property it shows"


def unexplained_ignore(_path: Path, source: str, _module: ast.Module) -> Iterable[str]:
    for number, line in enumerate(source.splitlines(), start=1):
        for found in IGNORES.finditer(line):
            codes = found["codes"].strip()
            if not re.match(r"(:\s*[A-Z]+\d+|\[\w+)", codes) or "--" not in codes:
                yield f"line {number}: an ignore names its rule and, after --, its reason"


def unfinished(path: Path, source: str, _module: ast.Module) -> Iterable[str]:
    # In tests such a mark may be data: agents search for them.
    for number, line in enumerate(source.splitlines() if path.parts[0] != "tests" else (), start=1):
        if MARKS.search(line):
            yield f"line {number}: a mark of unfinished work"


def swallowed_error(_path: Path, _source: str, module: ast.Module) -> Iterable[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ExceptHandler) and all(isinstance(step, ast.Pass) for step in node.body):
            caught = "everything" if node.type is None else ast.unparse(node.type)
            if caught in {"everything", "Exception", "BaseException"}:
                yield f"line {node.lineno}: {caught} is caught and forgotten"


def stub(path: Path, _source: str, module: ast.Module) -> Iterable[str]:
    for function in () if path.parts[0] == "tests" else functions(module):
        last = function.body[-1]
        raised = ast.unparse(last.exc) if isinstance(last, ast.Raise) and last.exc else ""
        if isinstance(last, ast.Pass) or raised.startswith("NotImplementedError"):
            yield f"{function.name} does nothing"


RULES: dict[Rule, tuple[str, str]] = {
    too_long: ("kernel/a.py", '"""A."""\n' + "A = 1\n" * FILE_LINES_MAX),
    script_too_long: ("scripts/a.py", "A = 1\n" * SCRIPT_LINES_MAX),
    function_too_long: ("kernel/a.py", "def long() -> None:\n" + "    print()\n" * FUNCTION_LINES_MAX),
    banned_name: ("kernel/utils.py", ""),
    undocumented_module: ("kernel/a.py", "A = 1\n"),
    undocumented_test: ("tests/test_a.py", "def test_a() -> None:\n    assert 1\n"),
    unexplained_ignore: ("kernel/a.py", "A = 1  # no" + "qa: E501\n"),
    unfinished: ("kernel/a.py", "A = 1  # TO" + "DO later\n"),
    swallowed_error: ("kernel/a.py", "try:\n    print()\nexcept Exception:\n    pass\n"),
    stub: ("kernel/a.py", "def a() -> None:\n    raise NotImplementedError\n"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_source_keeps_the_rule(rule: Rule) -> None:
    """No source of ours breaks the rule."""
    broken = [f"{path}: {fault}" for path in python_files() for fault in rule(path, text(path), tree(path))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_sees_a_bad_example(rule: Rule) -> None:
    """The rule can fail: it names the fault of a source made to break it."""
    path, source = RULES[rule]
    assert list(rule(Path(path), source, ast.parse(source)))


def test_sheets_scripts_and_templates_are_as_short_as_modules() -> None:
    """What pages are made of keeps the bound of a Python file."""
    ours = [path for path in files() if path.suffix in {".css", ".js", ".html"}]
    assert len(ours) > 50
    long = [path.name for path in ours if text(path).count("\n") > FILE_LINES_MAX]
    assert not long


def test_a_good_source_breaks_no_rule() -> None:
    """The rules can pass: a small, explained source breaks none of them."""
    source = '"""A noun."""\n\nA = 1  # no' + "qa: E501 -- the address does not fit\n"
    assert not [fault for rule in RULES for fault in rule(Path("kernel/a.py"), source, ast.parse(source))]
