"""Write into the README what `make run` really prints, between its two markers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BETWEEN = re.compile(r"(<!-- make run: begin.*?-->\n).*?(<!-- make run: end -->)", re.DOTALL)


def main() -> int:
    env = {**os.environ, "NO_COLOR": "1", "ONCE": "1", "TERM": "dumb", "COLUMNS": "100"}
    command = [sys.executable, ROOT / "scripts" / "demo.py"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        return done.returncode
    readme = ROOT / "README.md"
    told = re.sub(r"(/sign-in#)\S+", r"\1…", done.stdout.replace(f"{ROOT}/", ""))
    shown = "\n".join(line.rstrip() for line in told.strip().splitlines())
    text = BETWEEN.sub(lambda found: f"{found[1]}\n```\n{shown}\n```\n\n{found[2]}", readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
