"""Bytes as a descriptor, without a file system: what a process is given to read.

A process's whole input goes this way too, rather than by a pipe: nobody has to feed it, and one that
does not read it all leaves nothing half sent.

Source: memfd_create(2).
"""

from __future__ import annotations

import os


def memory_file(content: bytes) -> int:
    """A descriptor that reads `content` from its start; the caller closes it."""
    handle = os.memfd_create("oxios")
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(handle, 0, os.SEEK_SET)
    except BaseException:
        os.close(handle)
        raise
    return handle
