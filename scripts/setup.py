"""Make .venv from nothing with the system's Python: what a user needs, or with --dev what the checks need too."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
ASSETS = ("webui/package.json", "webui/package-lock.json", "scripts/hatch_build.py")
"""What decides which assets the installation puts in place."""


def main(*, dev: bool) -> int:
    project = (ROOT / "pyproject.toml").read_bytes()
    assets = b"".join((ROOT / name).read_bytes() for name in ASSETS)
    digest = hashlib.sha256(project + assets + sys.version.encode()).hexdigest()
    stamps = [VENV / f"stamp-{name}" for name in (("dev",) if dev else ("dev", "run"))]
    if any(stamp.exists() and stamp.read_text() == digest for stamp in stamps):
        return 0
    print(f"Setting up {VENV.name} with Python {sys.version.split()[0]} …", file=sys.stderr, flush=True)
    try:
        ours = VENV / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        venv.create(VENV, with_pip=True, clear=not ours.exists())
    except subprocess.CalledProcessError:
        print("This Python cannot make environments; on Debian: apt-get install python3-venv", file=sys.stderr)
        return 1
    wanted = ["-e", str(ROOT), *(tomllib.loads(project.decode())["dependency-groups"]["dev"] if dev else ())]
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    done = subprocess.run([*pip, *wanted], check=False)
    if done.returncode == 0:
        stamps[-1].write_text(digest)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(dev="--dev" in sys.argv[1:]))
