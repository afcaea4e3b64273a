"""Files for a model, as every wire format needs them, and the refusal of those it cannot take."""

from __future__ import annotations

import base64
from typing import Final

from kernel.ports.provider import Attachment, AttachmentRefused

IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
PDF: Final = "application/pdf"
_TEXTS: Final = frozenset({"application/json", "application/xml", "application/yaml", "application/toml"})


def is_text(attachment: Attachment) -> bool:
    """Whether it goes to the model as the text that it is."""
    return attachment.media_type.startswith("text/") or attachment.media_type in _TEXTS


def text_of(attachment: Attachment) -> str:
    """Raises: AttachmentRefused, where it is no UTF-8."""
    try:
        return attachment.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AttachmentRefused(
            f"{title_of(attachment)} is called {attachment.media_type} and is no UTF-8 text",
            remedy="save it as UTF-8, or name its real type",
        ) from error


def title_of(attachment: Attachment) -> str:
    return attachment.name or "attachment"


def base64_of(attachment: Attachment) -> str:
    return base64.b64encode(attachment.data).decode()


def data_url(attachment: Attachment) -> str:
    return f"data:{attachment.media_type};base64,{base64_of(attachment)}"


def refused(attachment: Attachment, wire: str, accepted: str) -> AttachmentRefused:
    """The error for a type that `wire` has no form for."""
    return AttachmentRefused(
        f"{title_of(attachment)} is {attachment.media_type}, which {wire} does not take",
        remedy=f"it takes {accepted}; convert the file, or let the agent read it with a tool",
    )
