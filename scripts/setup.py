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


def main(*, dev: bool) -> int:
    project = ROOT / "pyproject.toml"
    decides = [project, ROOT / "webui" / "vendoring.py", *sorted((ROOT / "webui").glob("package*.json"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in decides) + sys.version.encode()).hexdigest()
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
    wanted = ["-e", str(ROOT), *(tomllib.loads(project.read_text())["dependency-groups"]["dev"] if dev else ())]
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    done = subprocess.run([*pip, *wanted], check=False)
    if done.returncode == 0:
        stamps[-1].write_text(digest)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(dev="--dev" in sys.argv[1:]))
