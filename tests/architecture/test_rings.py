"""The rings hold, every contract of them can fail, and no module imports itself through others."""

from __future__ import annotations

import graphlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from tests.architecture.tree import ROOT, files

PACKAGES = ("kernel", "ouroboros", "oxios")
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

VIOLATIONS = {
    "rings": {"kernel/ids_violation.py": "import ouroboros\n"},
    "kernel": {"kernel/ports/violation.py": "import kernel.gate.decision\n"},
    "adapters-named-at-boot": {"kernel/process/violation.py": "import kernel.adapters.store\n"},
    "adapters-know-ports": {"kernel/adapters/violation.py": "import kernel.gate.decision\n"},
    "commands-independent": {
        "oxios/cli/violation_a.py": "import oxios.cli.violation_b\n",
        "oxios/cli/violation_b.py": "",
    },
    "no-cycles": {
        "kernel/violation_a/__init__.py": "",
        "kernel/violation_a/one.py": "import kernel.violation_b.two\n",
        "kernel/violation_b/__init__.py": "",
        "kernel/violation_b/two.py": "import kernel.violation_a.one\n",
    },
}


def _lint(root: Path, contract: str = "") -> subprocess.CompletedProcess[str]:
    limit = ["--contract", contract] if contract else []
    return subprocess.run(
        [sys.executable, "-c", _RUN, "--no-cache", *limit],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip


# With `-c` the working directory stands first on the path, so a copy's packages are read and not the checkout's.
_RUN = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def _copy(target: Path) -> Path:
    for path in files():
        if path.parts[0] in PACKAGES and path.suffix == ".py":
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target / path)
    shutil.copyfile(ROOT / "pyproject.toml", target / "pyproject.toml")
    return target


def test_the_rings_hold() -> None:
    """The tree keeps every import contract."""
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout[-4000:]


def test_every_contract_has_a_violation() -> None:
    """No contract stands without an example that breaks it."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {contract["id"] for contract in config["tool"]["importlinter"]["contracts"]} == VIOLATIONS.keys()


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_violation_breaks_its_contract(contract: str, tmp_path: Path) -> None:
    """A contract fails on a copy of the tree that holds one module made to break it."""
    root = _copy(tmp_path)
    for name, source in VIOLATIONS[contract].items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f'"""Breaks {contract}."""\n{source}', encoding="utf-8")
    done = _lint(root, contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
    assert "violation" in done.stdout


def test_no_module_imports_itself_through_others() -> None:
    """The modules of ours form no circle of imports, lazy ones included."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    order = graphlib.TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    try:
        order.prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
