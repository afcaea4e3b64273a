"""Carry out the sample Seed in a fresh workspace and home below .run/ (of DIR, if given), and verify the journal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = "oxios/samples/welcome.toml"
STEPS = (
    ("oxios", "seed", "submit", SAMPLE, "--workspace", ".run/workspace", "--exit-code"),
    ("oxios", "audit", "verify"),
)


def main(place: Path) -> int:
    shutil.rmtree(place / ".run", ignore_errors=True)
    workspace = place / ".run" / "workspace"
    workspace.mkdir(parents=True)
    program = str(Path(sys.executable).with_name("oxios"))
    env = {**os.environ, "OXIOS_HOME": str(place / ".run" / "home")}
    subprocess.run([sys.executable, ROOT / "scripts" / "machine.py", "--install", "bubblewrap"], check=False)
    for step in STEPS:
        print(f"$ {' '.join(step)}", flush=True)
        command = [program, *(str(ROOT / word) if word == SAMPLE else word for word in step[1:])]
        done = subprocess.run(command, cwd=place, env=env, check=False)
        if done.returncode:
            return done.returncode
    print("$ find .run/workspace -type f")
    print("\n".join(sorted(str(path.relative_to(place)) for path in workspace.rglob("*") if path.is_file())))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT))
