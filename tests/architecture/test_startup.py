"""Nothing heavy is imported before it is needed: not for help, and not to open a kernel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAVY = {
    "aiohttp", "alembic", "casbin", "jsonschema_rs", "prometheus_client", "psycopg", "rich", "sqlalchemy", "sqlmodel",
    "structlog",
}  # fmt: skip
KERNEL = {"anyio", "asyncio", "cryptography", "pydantic"}


def _imported(code: str, names: set[str]) -> set[str]:
    """Which of `names` a fresh Python has imported after `code`."""
    ask = f"import sys\n{code}\nprint('IMPORTED', *({names!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("line", ["['--help']", "['--version']", "['seed', '--help']"])
def test_help_imports_nothing_heavy(line: str) -> None:
    """Help and version need neither the kernel's libraries nor any of the heavy ones."""
    code = f"from oxios.__main__ import main\ntry:\n    main({line})\nexcept SystemExit:\n    pass"
    assert not _imported(code, HEAVY | KERNEL)


def test_opening_a_kernel_imports_nothing_heavy() -> None:
    """The modules of a kernel load no ORM, no migration tool, no HTTP client and no terminal library."""
    assert not _imported("import kernel.boot", HEAVY)


def test_reading_a_journal_imports_no_kernel() -> None:
    """A command that lists what is on record loads the store and its readers: no gate, no tools, no validators."""
    kernel = {"kernel.boot", "kernel.gate.gate", "kernel.syscalls.declare", "kernel.process.supervisor", "cryptography"}
    code = "from oxios.session import read_journal\nfrom kernel.storage import make_store\nimport kernel.journal.view"
    assert not _imported(code, HEAVY | kernel | {"pydantic"})


def test_providers_are_found_without_what_they_answer_with() -> None:
    """A run with a model does not load the embedded planner, and no run another vendor's library unasked."""
    find = "from kernel.adapters.providers.registry import kinds\nassert 'embedded' in kinds()"
    assert not _imported(find, HEAVY | {"kernel.adapters.providers.planner.understand", "pydantic_ai"})


def test_declaring_syscalls_builds_no_validators() -> None:
    """Each argument type builds its own when it is first used."""
    built = "[one.name for one in discover() if one.args.__pydantic_complete__]"
    code = f"from kernel.syscalls.table import discover\nassert {built} == [], {built}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_import_is_seen() -> None:
    """The question can be answered with yes."""
    assert _imported("import rich", HEAVY) == {"rich"}


@pytest.mark.parametrize("target", ["setup", "dev"])
def test_setting_up_compiles_the_checkout(target: str) -> None:
    """What make sets up starts from bytecode, as what pip installs does, even where Python is told to write none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {"kernel", "ouroboros", "oxios", "webui"}
    assert packages == set(project["tool"]["importlinter"]["root_packages"])
    told = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    compiled = [line.split() for line in told.splitlines() if "compileall" in line]
    assert [packages & set(words) for words in compiled] == [packages]
