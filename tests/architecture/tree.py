"""The tree as the architecture tests see it: every source of ours, parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("kernel", "ouroboros", "oxios", "webui")
"""Top-level packages that ship code; one that does not exist yet has no files."""


@cache
def files() -> tuple[Path, ...]:
    """Every file that git tracks or would track, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    names = sorted({name for name in listed.stdout.decode().split("\0") if name})
    return tuple(path for path in map(Path, names) if (ROOT / path).is_file())


def python_files(*tops: str) -> Iterator[Path]:
    """Python sources below `tops`, or all of them."""
    return (path for path in files() if path.suffix == ".py" and (not tops or path.parts[0] in tops))


@cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), filename=str(path))


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(module: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
