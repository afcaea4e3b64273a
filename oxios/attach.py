"""Files that a person attaches by name, and those that a seed names beside itself.

Guarantees: nothing longer than an attachment may be is read; what cannot be read is told with its name.
A person may attach any file that they can read but Oxios's own; a seed's author only what stands
beneath the seed's directory, since a seed may come from anybody: no link is followed there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kernel.errors import Invalid, NotFound
from kernel.gate.paths import open_beneath
from kernel.limits import ATTACHMENT_BYTES_MAX
from kernel.ports.provider import Attachment
from kernel.runtime.attached import attachment_of, check_together
from oxios.frame import place


def read_named(names: Sequence[str], home: Path) -> tuple[Attachment, ...]:
    """Raises: NotFound; Invalid (a directory, unreadable, Oxios's own, too much); AttachmentRefused."""
    found = tuple(_named(name, home) for name in names)
    check_together(found)
    return found


def read_beside(names: Sequence[str], directory: Path) -> tuple[Attachment, ...]:
    """Files of a seed, relative to its directory. Raises: as `read_named`; Conflict, where a link is in the way."""
    found = tuple(_beside(name, directory) for name in names)
    check_together(found)
    return found


def _named(name: str, home: Path) -> Attachment:
    try:
        path = place(name).resolve(strict=True)
        if path.is_relative_to(home.resolve()):
            raise Invalid(f"{name} is a file of Oxios itself", remedy="no model is shown those; attach another")
        with path.open("rb") as file:
            return attachment_of(path.name, file.read(ATTACHMENT_BYTES_MAX + 1))
    except FileNotFoundError:
        raise NotFound(f"there is no file {name}", remedy="check the path of what is attached") from None
    except IsADirectoryError:
        raise Invalid(f"{name} is a directory", remedy="attach files, or mount it: the agent can read it") from None
    except OSError as error:
        raise Invalid(f"{name} cannot be read: {error.strerror}", remedy="attach a readable file") from error


def _beside(name: str, directory: Path) -> Attachment:
    if Path(name).is_absolute():
        raise Invalid(f"the seed attaches {name}", remedy="name files relative to the seed, beneath its directory")
    handle = open_beneath(str(directory), name, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        return attachment_of(name, file.read(ATTACHMENT_BYTES_MAX + 1))
