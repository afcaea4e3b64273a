"""Carry out the sample Seed in a fresh workspace and home under .run/, verify the journal, list what was made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".run"
STEPS = (
    ("oxios", "seed", "submit", "oxios/samples/welcome.toml", "--workspace", ".run/workspace", "--exit-code"),
    ("oxios", "audit", "verify"),
)


def main() -> int:
    shutil.rmtree(PLACE, ignore_errors=True)
    (PLACE / "workspace").mkdir(parents=True)
    program = Path(sys.executable).with_name("oxios")
    env = {**os.environ, "OXIOS_HOME": str(PLACE / "home")}
    subprocess.run([sys.executable, ROOT / "scripts" / "machine.py", "bubblewrap"], check=False)
    for step in STEPS:
        print(f"$ {' '.join(step)}", flush=True)
        done = subprocess.run([program, *step[1:]], cwd=ROOT, env=env, check=False)
        if done.returncode:
            return done.returncode
        print(flush=True)
    print("$ ls .run/workspace")
    print("\n".join(sorted(str(path.relative_to(PLACE / "workspace")) for path in PLACE.glob("workspace/**/*"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
