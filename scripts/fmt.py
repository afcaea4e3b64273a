"""Put the tree into its one form: ruff's format and the fixes ruff is sure of."""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    fixed = subprocess.run(["ruff", "check", "--fix", "-q", "."], check=False)
    sys.exit(subprocess.run(["ruff", "format", "-q", "."], check=False).returncode or fixed.returncode)
