"""The real program in a pseudo-terminal: what a person sees, and what a person types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SEE_S = 30.0


class Session:
    """One program under way: stdin and stderr are a terminal, stdout is a pipe."""

    def __init__(self, process: subprocess.Popen[str], outer: int) -> None:
        self.process = process
        self.outer = outer
        self.shown = ""

    def see(self, text: str) -> None:
        """Read until the terminal shows `text`, beyond what was seen before."""
        start, ends_s = len(self.shown), time.monotonic() + SEE_S
        while text not in self.shown[start:]:
            if not self._read(ends_s - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown; this was:\n{self.shown}")

    def see_last(self, text: str) -> None:
        """Read until what the terminal shows ends in `text`: a prompt that waits."""
        ends_s = time.monotonic() + SEE_S
        while not re.sub(r"\x1b\[\?2004[hl]", "", self.shown).endswith(text):
            if not self._read(ends_s - time.monotonic()):
                raise AssertionError(f"{text!r} is not the last of what was shown:\n{self.shown}")

    def type(self, text: str) -> None:
        os.write(self.outer, text.encode())

    def modes(self) -> list[object]:
        """What the terminal is set to."""
        return termios.tcgetattr(self.outer)

    def stop(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """The exit code and stdout, once it has ended; what it showed to the last is in `shown`."""
        ends_s = time.monotonic() + SEE_S
        while self._read(ends_s - time.monotonic()):
            continue
        out = self.process.stdout.read() if self.process.stdout is not None else ""
        return self.process.wait(SEE_S), out

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self.outer], [], [], max(0.0, wait_s))
        if not ready:
            return False
        try:
            piece = os.read(self.outer, 65536)
        except OSError:  # EIO: whoever held the other end is gone
            return False
        self.shown += piece.decode("utf-8", "replace")
        return bool(piece)


@contextmanager
def in_terminal(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], whole: bool = False) -> Generator[Session]:
    """`oxios WORDS` in a terminal; killed where the block leaves it running. `whole`: stdout is the terminal, too."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "oxios", *words],
        cwd=cwd, env=dict(env), stdin=inner, stdout=inner if whole else subprocess.PIPE, stderr=inner,
        text=True, start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    try:
        yield Session(process, outer)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        os.close(outer)
