"""What the sources import is declared, what is declared is imported, and the names mean this checkout."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.tree import PRODUCT, ROOT, python_files, tree

CARRIED = {"pydantic-core": "pydantic"}
"""Half of a declared distribution, which pins it exactly."""
OURS = frozenset({*PRODUCT, "tests", "scripts", "personas"})


@cache
def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _names(requirements: list[str]) -> set[str]:
    return {_canonical(re.split(r"[\[<>=~! ;]", line)[0]) for line in requirements}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imports(module: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            values = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            found |= {value.split(".")[0] for value in values if isinstance(value, str) and value}
    return found - sys.stdlib_module_names - OURS


@cache
def _distributions() -> dict[str, set[str]]:
    """Import name → the distributions that carry it."""
    return {
        name: {CARRIED.get(_canonical(dist), _canonical(dist)) for dist in dists}
        for name, dists in importlib.metadata.packages_distributions().items()
    }


def _used(*tops: str) -> dict[str, Path]:
    return {name: path for path in python_files(*tops) for name in _imports(tree(path))}


def _declared(*, dev: bool) -> set[str]:
    core = _project()["project"]
    names = _names(core["dependencies"])
    for extra in core["optional-dependencies"].values():
        names |= _names(extra)
    return names | (_names(_project()["dependency-groups"]["dev"]) if dev else set[str]())


@pytest.mark.parametrize(("tops", "dev"), [(PRODUCT, False), (("tests", "scripts"), True)], ids=["product", "tests"])
def test_every_import_is_declared(tops: tuple[str, ...], *, dev: bool) -> None:
    """A third-party name that the sources import belongs to a distribution that pyproject.toml names."""
    declared = _declared(dev=dev)
    missing = {
        f"{path} imports {name}"
        for name, path in _used(*tops).items()
        if declared.isdisjoint(_distributions().get(name, {_canonical(name)}))
    }
    assert not missing, "\n".join(sorted(missing))


def test_every_dependency_is_imported() -> None:
    """Nobody is made to install a distribution that nothing imports."""
    used = {dist for name in _used(*PRODUCT) for dist in _distributions().get(name, ())}
    assert not _declared(dev=False) - used


@pytest.mark.parametrize("package", ["kernel", "ouroboros", "oxios"])
def test_the_packages_are_this_checkouts(package: str) -> None:
    """No other distribution of the same name shadows ours."""
    module = importlib.import_module(package)
    assert Path(module.__file__ or "").parent == ROOT / package
