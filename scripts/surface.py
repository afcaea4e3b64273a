"""Write rfcs/surface.md from the declarations; with --check, fail where the file is not what they say."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "rfcs" / "surface.md"


def main(*, check: bool) -> int:
    sys.path.insert(0, str(ROOT))
    from tests.architecture.surface import render  # noqa: PLC0415 -- only importable once the root is on the path

    wanted = render()
    found = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if not check:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    for line in difflib.unified_diff(
        found.splitlines(), wanted.splitlines(), "rfcs/surface.md", "the tree", lineterm=""
    ):
        print(line)
    if found != wanted:
        print("The surface has changed. Where it was meant to: make surface, and commit the page.")
    return int(found != wanted)


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
