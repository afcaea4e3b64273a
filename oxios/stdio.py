"""The three standard streams of the process, whatever it was started with.

Guarantees: a stream that was closed goes nowhere and comes from nowhere, and no file of ours ever
has its number; a character that a stream's encoding lacks is written as an escape.
"""

from __future__ import annotations

import io
import os
import sys

_NUMBERS = 3


def make_usable() -> None:
    """Before anything is opened or written. What is usable stays as it is."""
    while (number := os.open(os.devnull, os.O_RDWR)) < _NUMBERS:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] -- Python's, where 0 was closed
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- the process' own stream
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] -- as above
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 -- as above
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison] -- as above
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 -- as above
    out: object = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out.errors == "strict":
        out.reconfigure(errors="backslashreplace")
