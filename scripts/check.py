"""What CI runs, in order: form, lint, spelling, types, rings, the surface, and every test last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
STEPS = (
    ("format", "ruff", "format", "--check", "-q", "."),
    ("lint", "ruff", "check", "-q", "."),
    ("spelling", "codespell"),
    ("types", "pyright"),
    ("rings", "lint-imports", "--no-cache"),
    ("surface", "python", "scripts/surface.py", "--check"),
    ("tests", "pytest", "-q", "-rs", "-n", "2"),
)


def main() -> int:
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    failed: list[str] = []
    for name, *command in STEPS:
        print(f"── {name}: {' '.join(command)}", flush=True)
        done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, env=env, check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
