"""Photograph pages of a real server where work was done, those of the README by default; axe-core checks them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.web.scenes import SCENES, SHOWN, photograph  # noqa: E402 -- below the root


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENES)}")
    parser.add_argument("--into", type=Path, default=ROOT / "rfcs" / "images")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in SCENES]
    if unknown:
        parser.error(f"there is no scene {unknown[0]!r}: choose of {', '.join(SCENES)}")
    options.into.mkdir(parents=True, exist_ok=True)
    found = anyio.run(photograph, options.names or SHOWN, options.into, options.theme)
    print("\n".join(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
