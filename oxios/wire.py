"""Between an `oxios` command and the server of its home: a socket in the home, one JSON object a line.

Guarantees: only processes of the same user speak here, whoever may reach the file: each side asks
the kernel who the other is. A line has at most LINE_BYTES_MAX bytes.
Not a public interface: both ends are of one version, or say that they are not.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import anyio
from anyio.abc import ByteReceiveStream, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

SOCKET_NAME: Final = "server.sock"
LINE_BYTES_MAX: Final = 4 * 1024 * 1024
BACKLOG: Final = 64

Message: TypeAlias = Mapping[str, Any]


def same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end belongs to this process' user. Source: unix(7), SO_PEERCRED."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return uid == os.getuid()


def listen(home: Path) -> socket.socket:
    """A listening socket in the home, open to its owner alone; the caller holds the home's lock.

    Raises: OSError.
    """
    (home / SOCKET_NAME).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short(home) as path:
            made.bind(path)
            Path(path).chmod(0o600)  # before anybody can connect: that takes `listen`
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    made.setblocking(False)
    return made


def reach(home: Path) -> socket.socket | None:
    """A connection to the server of `home`; None where none listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short(home) as path:
            connection.connect(path)
        if same_user(connection):
            connection.setblocking(False)
            return connection
    except OSError:
        pass  # Nobody listens, or no longer: the home's lock says whether it is in use.
    connection.close()
    return None


@contextmanager
def _short(home: Path) -> Generator[str]:
    """The socket by a path that fits: an address holds 107 bytes, and a home may lie deep."""
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def encode(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Reading:
    """Messages of one connection, in order."""

    def __init__(self, stream: ByteReceiveStream) -> None:
        self._stream = BufferedByteReceiveStream(stream)

    async def next(self) -> Message | None:
        """None once the other end is gone, or says what is no message."""
        try:
            line = await self._stream.receive_until(b"\n", LINE_BYTES_MAX)
            said = cast("object", json.loads(line))
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return None
        except (anyio.DelimiterNotFound, ValueError):
            return None
        return cast("Message", said) if isinstance(said, dict) else None


async def send(stream: SocketStream, message: Message) -> bool:
    """False where the other end is gone."""
    try:
        await stream.send(encode(message))
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return False
    return True
