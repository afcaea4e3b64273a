"""Measure beside floors in the same call and write rfcs/figures.md; --quick repeats less and only prints."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "rfcs" / "figures.md"


def main(*, quick: bool) -> int:
    sys.path.insert(0, str(ROOT))
    from tests.bench.report import measure_all, render  # noqa: PLC0415 -- only importable once the root is on the path

    (ROOT / ".run").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".run", prefix="bench-") as folder:
        figures = measure_all(Path(folder), quick=quick)
    page = render(figures)
    print(page)
    if not quick:
        PAGE.write_text(page, encoding="utf-8")
    return 0 if all(figure.met is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(quick="--quick" in sys.argv[1:]))
