"""Exit codes: one table, stable, the same for every command.

A script may rely on these numbers; changing one is a breaking change.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from kernel.errors import OxiosError


class Exit(IntEnum):
    """What the process says to the shell."""

    OK = 0
    FAILED = 1
    """The thing asked for failed, or what was checked is broken."""
    USAGE = 2
    """Wrong arguments, unknown names, bad settings; for a check: it could not run."""
    CRITERIA_FAILED = 3
    RUN_FAILED = 4
    PAUSED = 5
    """The run waits for a person."""
    STOPPED = 6
    DENIED = 7
    UNAVAILABLE = 8
    """Locked by another process, a provider or the journal is down, the sandbox cannot run."""
    BUG = 70
    """An error of the program itself; the number is sysexits' EX_SOFTWARE."""
    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT; SIGTERM and a terminal that hung up end it in the same way."""
    READER_LEFT = 141
    """Whoever read our output closed it: 128 + SIGPIPE, as for any program."""


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "done",
    Exit.FAILED: "failed, or what was checked is broken",
    Exit.USAGE: "wrong usage or settings, or a check could not run",
    Exit.CRITERIA_FAILED: "criteria were not met (with --exit-code)",
    Exit.RUN_FAILED: "the run failed",
    Exit.PAUSED: "the run waits for a person",
    Exit.STOPPED: "stopped",
    Exit.DENIED: "denied",
    Exit.UNAVAILABLE: "unavailable, or locked by another process",
    Exit.BUG: "an error of the program itself",
    Exit.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM)",
    Exit.READER_LEFT: "whoever read the output left",
}
"""What `oxios --help` says of each."""

BY_CODE: Final[dict[str, Exit]] = {
    "error": Exit.FAILED,
    "invalid": Exit.USAGE,
    "settings_invalid": Exit.USAGE,
    "not_found": Exit.USAGE,
    "conflict": Exit.FAILED,
    "access_denied": Exit.DENIED,
    "capability_revoked": Exit.DENIED,
    "approval_pending": Exit.PAUSED,
    "stopped": Exit.STOPPED,
    "limit_exceeded": Exit.FAILED,
    "budget_exhausted": Exit.RUN_FAILED,
    "queue_full": Exit.UNAVAILABLE,
    "deadline_passed": Exit.RUN_FAILED,
    "cspace_full": Exit.FAILED,
    "lease_lost": Exit.UNAVAILABLE,
    "unavailable": Exit.UNAVAILABLE,
    "provider_down": Exit.UNAVAILABLE,
    "sandbox_down": Exit.UNAVAILABLE,
    "journal_down": Exit.UNAVAILABLE,
    "instance_locked": Exit.UNAVAILABLE,
}


def exit_of(error: OxiosError) -> Exit:
    """The code of an error; of its nearest known ancestor where its own is not in the table."""
    for ancestor in type(error).__mro__:
        found = BY_CODE.get(getattr(ancestor, "code", ""))
        if found is not None:
            return found
    return Exit.FAILED
