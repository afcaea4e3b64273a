"""Name what this machine lacks with the command that installs it; --install runs that where it can (Debian, root)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

POSTGRES = Path("/usr/lib/postgresql")
PACKAGES = {
    "bubblewrap": ("commands of agents run inside it", lambda: shutil.which("bwrap")),
    "chromium": ("the pages are tested in it", lambda: shutil.which("chromium")),
    "postgresql": ("the journal's tests run on it too", lambda: shutil.which("initdb") or any(POSTGRES.glob("*/bin"))),
    "prometheus": ("the metrics are scraped by it", lambda: shutil.which("prometheus") and shutil.which("promtool")),
}
INSTALLERS = {"apt-get": "install -y", "dnf": "install -y", "zypper": "install", "pacman": "-S", "apk": "add"}


def main(wanted: list[str], *, install: bool) -> int:
    missing = [name for name in wanted or list(PACKAGES) if not PACKAGES[name][1]()]
    if install and missing and shutil.which("apt-get") and os.geteuid() == 0:
        print(f"Installing {' '.join(missing)} …", file=sys.stderr, flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-qq", *command], env=quiet, stdout=subprocess.DEVNULL, check=False)
        return main(wanted, install=False)
    found = (f"{name} {how}" for name, how in INSTALLERS.items() if shutil.which(name))
    installer = next(found, "your system's installer for")
    sudo = "sudo " if os.geteuid() else ""
    for name in missing:
        print(f"This machine lacks {name} ({PACKAGES[name][0]}). Install it: {sudo}{installer} {name}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main([name for name in sys.argv[1:] if name in PACKAGES], install="--install" in sys.argv[1:]))
