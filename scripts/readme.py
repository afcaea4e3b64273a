"""Write into the README what `make run` really prints, between its two markers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BETWEEN = re.compile(r"(<!-- make run: begin.*?-->\n).*?(<!-- make run: end -->)", re.DOTALL)


def main() -> int:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        return done.returncode
    readme = ROOT / "README.md"
    shown = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    text = BETWEEN.sub(lambda found: f"{found[1]}\n```\n{shown}\n```\n\n{found[2]}", readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
