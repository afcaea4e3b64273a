"""Who runs this program, as the operating system has it."""

from __future__ import annotations

import getpass
import os


def login_name() -> str:
    """The user's name; the number, where the system has none for it, as in a container of any uid."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
