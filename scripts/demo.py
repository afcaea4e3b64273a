"""Serve a fresh home below .run/ (of DIR, if given), carry out the sample Seed; stay, in a terminal, without ONCE."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUBMIT = ("seed", "submit", f"{ROOT}/oxios/samples/welcome.toml", "--workspace", ".run/workspace", "--exit-code")


def main() -> int:
    env, oxios = {**os.environ, "OXIOS_HOME": str(Path(".run/home").resolve())}, Path(sys.executable).with_name("oxios")
    subprocess.call([oxios, "-q", "stop"], env=env)  # what an earlier run left
    shutil.rmtree(".run", ignore_errors=True)
    Path(".run/workspace").mkdir(parents=True)
    try:
        for step in (("serve", "--background"), SUBMIT, ("audit", "verify")):
            print(f"$ oxios {' '.join(step).replace(f'{ROOT}/', '')}", flush=True)
            if code := subprocess.call([oxios, *step], env=env):
                return code
        print("$ find .run/workspace -type f", *sorted(Path(".run/workspace").rglob("*.*")), sep="\n", flush=True)
        if not env.get("ONCE") and sys.stdin.isatty() and sys.stdout.isatty():
            input("The server stays until Ctrl-C or Enter; the link above lets you in. ")
    except (KeyboardInterrupt, EOFError):
        return 0
    finally:
        subprocess.call([oxios, "stop"], env=env)
    return 0


if __name__ == "__main__":
    os.chdir(sys.argv[1] if sys.argv[1:] else ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
