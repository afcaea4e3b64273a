"""Telling systemd how the service stands. Source: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def tell(state: str) -> None:
    """Raises: nothing; where nobody asked to be told, nobody is."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as said:
        said.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        said.send(state.encode())


def is_service() -> bool:
    """Whether systemd started this process: then what is printed goes to its log."""
    return "INVOCATION_ID" in os.environ and "NOTIFY_SOCKET" in os.environ
