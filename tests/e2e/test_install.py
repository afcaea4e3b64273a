"""A wheel in a clean environment, an editable install and `python -m oxios` all work, personas included.

The environments get their dependencies by a path to those of the test's own, without its editable
install: so nothing of the checkout is importable in them, and no network is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("kernel", "ouroboros", "oxios", "personas", "webui")
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that holds one installation of ours, and an empty home beside it."""

    folder: Path

    def run(self, *command: str) -> str:
        """Standard output. Raises: CalledProcessError."""
        env = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "OXIOS_HOME": str(self.folder / "home"),
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout


def _sources(target: Path) -> Path:
    """A copy of what is built from, so that a build leaves nothing in the checkout."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "scripts/hatch_build.py"):
        shutil.copyfile(ROOT / name, target / name)
    return target


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder


def _pip(environment: Path, *wanted: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment / "bin/python")]
    done = subprocess.run(
        [*command, "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", *wanted],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = _sources(folder / "sources")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=sources, check=True, capture_output=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    return next(folder.glob("oxios-*.whl"))


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheel: Path
) -> Iterator[Installed]:
    """One environment each way of installing."""
    folder = tmp_path_factory.mktemp(str(request.param))
    environment = _environment(folder / "env")
    if request.param == "wheel":
        _pip(environment, str(wheel))
    else:
        _pip(environment, "-e", str(_sources(folder / "sources")))
    yield Installed(environment)
    shutil.rmtree(folder)


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    """Code, personas, migrations, samples and type marks are in it; tests and scripts are not."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    wanted = {name for name in tracked.split("\0") if name and (ROOT / name).exists()}
    names = zipfile.ZipFile(wheel).namelist()
    assert wanted <= set(names)
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)


def test_the_wheel_holds_the_assets_with_their_licences(wheel: Path) -> None:
    """Every package that pages load is in it with the licence it comes under; what only tests load is not."""
    names = zipfile.ZipFile(wheel).namelist()
    vendor = "webui/static/vendor"
    packages = json.loads((ROOT / "webui/package.json").read_text(encoding="utf-8"))["dependencies"]
    assert all(f"{vendor}/licenses/{package}-LICENSE" in names for package in packages)
    assert {f"{vendor}/{package}.js" for package in packages} - set(names) == {f"{vendor}/lucide-static.js"}
    assert f"{vendor}/icons.svg" in names
    assert not [name for name in names if "axe" in name]


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Version, licence, Python and dependencies stand in its metadata as in the sources."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        said = Parser().parsestr(archive.read(metadata).decode())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = (ROOT / "oxios/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{said["Version"]}"' in version
    assert said["License-Expression"] == "MIT"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert said["Requires-Python"] == project["requires-python"]
    plain = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(plain) == len(project["dependencies"])


def test_an_installation_is_imported_from_itself(installed: Installed) -> None:
    """The packages come from the installation and not from the checkout that built it."""
    code = "import kernel, ouroboros, oxios; print(kernel.__file__, ouroboros.__file__, oxios.__file__)"
    assert str(ROOT) not in installed.run("python", "-c", code)


@pytest.mark.parametrize("program", [("oxios",), ("python", "-m", "oxios")], ids=["oxios", "python -m oxios"])
def test_the_command_starts(installed: Installed, program: tuple[str, ...]) -> None:
    """Help and version come from the console script and from the module alike."""
    assert "usage: oxios" in installed.run(*program, "--help")
    version = installed.run("python", "-c", "import oxios; print(oxios.__version__)").strip()
    assert installed.run(*program, "--version").strip() == f"oxios {version}"


def test_the_personas_are_there(installed: Installed) -> None:
    """Each persona of the tree is listed by an installation."""
    listed = installed.run("oxios", "persona", "list")
    missing = [path.stem for path in (ROOT / "personas").glob("*.md") if path.stem not in listed]
    assert not missing


def test_the_sample_seed_is_carried_out(installed: Installed) -> None:
    """The shipped sample runs from an installation, in an empty home, and its journal verifies."""
    where = "from importlib.resources import files; print(files('oxios') / 'samples' / 'welcome.toml')"
    sample = installed.run("python", "-c", where).strip()
    (installed.folder / "workspace").mkdir(exist_ok=True)
    installed.run("oxios", "seed", "submit", sample, "--workspace", str(installed.folder / "workspace"), "--exit-code")
    assert list((installed.folder / "workspace").iterdir())
    installed.run("oxios", "audit", "verify")
